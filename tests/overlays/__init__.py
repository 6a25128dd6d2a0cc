"""What sellers add to photos, drawn on photos from a seed, with exact labels: `kinds.KINDS` has all of them.

A subject (a real photograph of SHELFGUARD_DATA, or a rendered scene) and a kind with a seed give the same picture on
every machine: fonts come from matplotlib's wheel, codes from zxing-cpp's. Nothing of it is stored in the repository.
"""
