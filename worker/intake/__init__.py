"""Intake: fetch a photo safely, decode it in a sandboxed child, hand on bytes of our own making."""
