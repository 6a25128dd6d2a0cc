"""The three real servers, run from pip wheels: one module each, and what they have in common in `common.py`.

`worker/local.py` is the public face.
"""
