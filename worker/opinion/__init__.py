"""Second opinions: another model, behind any OpenAI-compatible endpoint, is asked before people see a photo."""
