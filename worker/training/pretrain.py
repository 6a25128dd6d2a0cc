"""Training shelf-tiny from nothing, one stage after another.

Run as: python -m worker.training.pretrain RUN --stage easy|dense|... --scenes N [--max-minutes M] [--start-from DIR]

RUN is a folder (keep it under .shelfguard/training/). A stage that was stopped goes on where it was; a new stage starts
from the weights the last one left, or from an exported checkpoint. The order that works, and why, is in LOG.md: single
objects first, then scenes with a dense head at low resolution, then the language model at a higher rate than the tower,
resolution last.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from worker.training import fresh, grow, strips, team
from worker.training.batches import stream
from worker.training.heads import Heads
from worker.training.language import language_loss
from worker.training.muon import Muon
from worker.training.stages import STAGES, Stage


class Run:
    """A model in training and everything needed to go on after a kill."""

    def __init__(self, folder: Path, resolution: int, optimizer: str) -> None:
        self.folder = folder
        self.optimizer_kind = optimizer
        self.tokenizer = fresh.build_tokenizer()
        self.model = fresh.build_model(self.tokenizer, resolution)
        self.heads = Heads(self.model.config.vision_config.embed_dim[-1])
        self.stage_name = ""
        self.seen = 0
        self.total = 0
        self.resolution = resolution
        self.averaged: ModelEmaV3 | None = None
        self.optimizers: list[torch.optim.Optimizer] = []
        self.schedules: list[CosineLRScheduler] = []

    @property
    def processor(self) -> Florence2Processor:
        return fresh.build_processor(self.tokenizer, self.resolution)

    def enter(self, name: str, stage: Stage, total: int) -> None:
        """Begin a stage with the weights at hand; the tower's picture may grow."""
        if stage.feed.size != self.resolution:
            self.model = grow.resized(self.model, stage.feed.size)
            self.resolution = stage.feed.size
        self.stage_name, self.seen, self.total = name, 0, total
        self._build_optimizers(stage)
        self.schedule(stage)
        # About the last fifty steps: over two hundred, a short stage would end with what the one before knew.
        self.averaged = ModelEmaV3(self.model, decay=0.98, use_warmup=False)

    def _build_optimizers(self, stage: Stage) -> None:
        spoken = bool(stage.feed.tasks)
        tower = dict(self.model.model.vision_tower.named_parameters())
        others = {n: p for n, p in self.model.named_parameters() if ".vision_tower." not in n} if spoken else {}
        for _, parameter in self.model.named_parameters():
            parameter.requires_grad_(spoken)
        for parameter in tower.values():
            parameter.requires_grad_(True)
        groups = [(tower, stage.tower_rate), (others, stage.other_rate)]
        muon, adam = [], [{"params": list(self.heads.parameters()), "lr_scale": stage.other_rate}]
        for named, rate in groups:
            plain: list[Tensor] = []
            matrices: list[Tensor] = []
            for name, parameter in named.items():
                into = matrices if parameter.ndim == 2 and "embed" not in name and "shared" not in name else plain
                into.append(parameter)
            if self.optimizer_kind == "adamw":
                plain, matrices = plain + matrices, []
            if matrices:
                muon.append({"params": matrices, "lr_scale": rate})
            if plain:
                adam.append({"params": plain, "lr_scale": rate})
        self.optimizers = [torch.optim.AdamW(adam, lr=1.0, betas=(0.9, 0.98), weight_decay=0.01, fused=True)]
        if muon:
            self.optimizers.append(Muon(muon, lr=1.0))

    def schedule(self, stage: Stage) -> None:
        """Rise, then half a cosine down, by scenes seen; every group's own rate is a factor on it."""
        self.schedules = [
            CosineLRScheduler(
                optimizer,
                t_initial=self.total,
                lr_min=stage.least,
                warmup_t=min(stage.warmup, self.total - 1),
                t_in_epochs=False,
            )
            for optimizer in self.optimizers
        ]

    def set_rate(self) -> None:
        for schedule in self.schedules:
            schedule.step_update(self.seen)

    def step(self, loss: Tensor) -> None:
        """One step down, together with the other processes, where there are any."""
        parameters = [p for p in (*self.model.parameters(), *self.heads.parameters()) if p.requires_grad]
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        team.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        assert self.averaged is not None
        self.averaged.update(self.model)

    def save(self) -> None:
        """Everything to one file, written beside and moved, so that a kill never leaves half a state."""
        assert self.averaged is not None
        state = {
            "stage": self.stage_name,
            "seen": self.seen,
            "total": self.total,
            "resolution": self.resolution,
            "optimizer": self.optimizer_kind,
            "model": self.model.state_dict(),
            "averaged": self.averaged.module.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        beside = self.folder / "state.tmp"
        torch.save(state, beside)
        beside.rename(self.folder / "state.pt")

    @classmethod
    def load(cls, folder: Path) -> Run:
        """A run as `save` left it, without its optimizers, which `resume` rebuilds for the stage."""
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        run = cls(folder, state["resolution"], state["optimizer"])
        run.model.load_state_dict(state["model"])
        run.heads.load_state_dict(state["heads"])
        run.stage_name, run.seen, run.total = state["stage"], state["seen"], state["total"]
        run._saved = state
        return run

    _saved: dict[str, Any]

    def averaged_weights(self) -> dict[str, Tensor]:
        """Of a loaded run: what evaluation and export use."""
        weights: dict[str, Tensor] = self._saved["averaged"]
        return weights

    def resume(self, stage: Stage) -> None:
        self._build_optimizers(stage)
        for optimizer, state in zip(self.optimizers, self._saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.schedule(stage)
        self.averaged = ModelEmaV3(self.model, decay=0.98, use_warmup=False)
        self.averaged.module.load_state_dict(self._saved["averaged"])


def losses_of(run: Run, stage: Stage, batch: dict[str, Any]) -> dict[str, Tensor]:
    """All losses of a batch; `total` is what is learnt from."""
    tokens = run.model.model.vision_tower(batch["pixels"]).last_hidden_state
    losses: dict[str, Tensor] = run.heads(tokens, batch, stage.pooled, letters=stage.letters > 0)
    weights = {"kind": 1.0, "box": 0.6, "colour": 0.4, "letter": stage.letters, "whole": stage.pooled}
    known = [weights[name] * losses[name] for name in weights if name in losses]
    total = stage.dense * torch.stack(known).sum()
    if batch["pairs"]:
        spoken = language_loss(run.model, tokens, batch["pairs"], run.tokenizer, batch["first"])
        losses |= spoken
        total = total + spoken["language"]
    losses["total"] = total
    return losses


def train(
    run: Run, stage: Stage, *, max_minutes: float, workers: int, save_minutes: float = 4.0, half: bool = False
) -> None:
    """Learn until the stage's scenes are seen or the time is up; saves now and then and at the end.

    `half` multiplies matrices in bfloat16; weights, losses and steps stay in float32.
    """
    started = saved = time.monotonic()
    leads = team.share()[0] == 0
    curves = SummaryWriter(str(run.folder / "curves" / run.stage_name)) if leads else None
    feed: Iterator[dict[str, Any]] = stream(
        stage.feed,
        run.processor if stage.feed.tasks else None,
        start=run.seen,
        batch=stage.batch,
        workers=workers,
        share=team.share(),
    )
    sums: dict[str, float] = defaultdict(float)
    first, steps = run.seen, 0
    run.model.train()
    strips.set_window(run.model, (stage.feed.strip or stage.feed.size) // fresh.STRIDE)
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    while run.seen < run.total:
        if team.anyone(told_to_stop.is_set() or time.monotonic() - started > max_minutes * 60):
            break
        batch = next(feed)
        run.set_rate()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses = losses_of(run, stage, batch)
        run.step(losses["total"])
        run.seen += stage.batch
        steps += 1
        for name, value in losses.items():
            sums[name] += torch.nan_to_num(value.detach()).item()
        if steps % 50 == 0 and curves:
            speed = (run.seen - first) / (time.monotonic() - started)
            means = {name: round(total / 50, 3) for name, total in sums.items()}
            print(f"{time.strftime('%H:%M:%S')} {run.stage_name} {run.seen} {speed:.0f}/s {means}", flush=True)
            for name, mean in means.items():
                curves.add_scalar(name, mean, run.seen)
            sums.clear()
        if leads and time.monotonic() - saved > save_minutes * 60:
            run.save()
            saved = time.monotonic()
    if curves:
        run.save()
        curves.close()


def describe(folder: Path, name: str, stage: Stage, options: argparse.Namespace) -> None:
    """A line for each start of a stage, so that a run says how it came about."""
    row = {
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
        "stage": name,
        **dataclasses.asdict(stage),
        "scenes": options.scenes,
    }
    with (folder / "run.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def start(
    folder: Path,
    name: str,
    stage: Stage,
    scenes: int,
    optimizer: str,
    weights: Path | None = None,
    heads: Path | None = None,
) -> Run:
    """The run in `folder`, in this stage: new, from exported `weights` and `heads`, resumed, or moved on."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "state.pt").exists():
        run = Run(folder, stage.feed.size, optimizer)
        if weights:
            run.model = grow.resized(Florence2ForConditionalGeneration.from_pretrained(weights), stage.feed.size)
        if heads:
            run.heads.load_state_dict(load_file(heads))
        run.enter(name, stage, scenes)
        return run
    run = Run.load(folder)
    if run.stage_name == name and run.seen < run.total:
        run.total = scenes
        run.resume(stage)
    else:
        # What was averaged is better than where the last step happened to end.
        run.model.load_state_dict(run.averaged_weights())
        run.enter(name, stage, scenes)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--scenes", type=int, required=True, help="scenes of the whole stage")
    parser.add_argument("--max-minutes", type=float, default=1e9)
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that render; 0 renders in the training process"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="of one process; on a busy machine one each and more processes"
    )
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    parser.add_argument(
        "--half", action="store_true", help="bfloat16 products, where the processor multiplies them faster"
    )
    parser.add_argument(
        "--start-from", type=Path, help="an exported checkpoint of the same tokenizer, where RUN is new"
    )
    parser.add_argument("--heads", type=Path, help="the heads that `export --heads` wrote beside that checkpoint")
    parser.add_argument("--size", type=int, help="other pixels than the stage's own")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    team.join()
    stage = STAGES[options.stage]
    if options.size:
        stage = dataclasses.replace(stage, feed=dataclasses.replace(stage.feed, size=options.size))
    run = start(
        options.folder, options.stage, stage, options.scenes, options.optimizer, options.start_from, options.heads
    )
    if team.share()[0] == 0:
        describe(options.folder, options.stage, stage, options)
    train(run, stage, max_minutes=options.max_minutes, workers=options.workers, half=options.half)


if __name__ == "__main__":
    main()
