"""Looking: load a Florence-2 checkpoint, ask its tasks about photos, read the answers with scores."""
