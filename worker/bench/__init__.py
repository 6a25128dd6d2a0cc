"""Side-by-side figures: what `shelfguard bench` prints. Timing lives here, never in an assert."""
