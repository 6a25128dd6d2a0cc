"""Judging photos by a shop's rules: words, signals, conditions, loading, engine; packs hold the rules we ship."""
