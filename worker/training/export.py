"""Ship what a run has learnt: the averaged weights in the standard layout, without the heads.

Run as: python -m worker.training.export RUN DIR [--heads FILE]

DIR is replaced as a whole, by renaming, so that it can be loaded at any time. The heads are needed to go on training
from an exported checkpoint (`pretrain --start-from DIR --heads FILE`), not to run it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from worker.training import fresh
from worker.training.pretrain import Run


def replace_folder(new: Path, folder: Path) -> None:
    """Put `new` where `folder` is; both lie on one disk."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    # What people wrote beside the weights stays.
    for note in folder.glob("*.md"):
        shutil.copy2(note, new / note.name)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def export(run_folder: Path, folder: Path) -> None:
    run = Run.load(run_folder)
    run.model.load_state_dict(run.averaged_weights())
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    fresh.save(new, run.model, run.processor)
    for file in new.iterdir():
        file.chmod(0o644)
    replace_folder(new, folder)


def export_heads(run_folder: Path, file: Path) -> None:
    """The dense heads in float16, for a later run."""
    state = Run.load(run_folder).heads.state_dict()
    save_file({name: tensor.to(torch.float16).contiguous() for name, tensor in state.items()}, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--heads", type=Path, help="also write the heads to this safetensors file")
    options = parser.parse_args()
    export(options.run, options.folder)
    if options.heads:
        export_heads(options.run, options.heads)
    print(f"exported {options.run} to {options.folder}")


if __name__ == "__main__":
    main()
