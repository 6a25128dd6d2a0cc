"""Rendered scenes with exact labels: what shelf-tiny learns from and is measured on."""
