"""Looking: load a Florence-2 checkpoint, ask its tasks about photos, read the answers with scores."""

import os

# Threads that wait for each other must sleep, not spin: beside other busy processes a spinning pair took 24 times as
# long for a photo (9.5 s against 0.4 s, two cores under load). OpenMP reads this once, when PyTorch is loaded after us.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
