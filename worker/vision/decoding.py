"""Greedy decoding: prompts and image features to tokens with the log-probability of each.

One batch for whatever prompts come; the answers are those of `generate` on one prompt at a time
(tests/worker/vision/test_decoding.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import GenerationConfig

from worker.vision.caches import Memory, moves
from worker.vision.text_model import Row, TextModel


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated tokens up to and with the end token, and the natural log-probability of each when it was chosen."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


@dataclass(slots=True)
class _Answer:
    """One row while it is decoded."""

    row: Row
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)


def greedy_config(text: Any) -> GenerationConfig:
    """Our own generation config: one path, nothing banned, nothing forced.

    Checkpoints carry `num_beams=3`, `no_repeat_ngram_size=3` and a forced first token; the n-gram ban alone destroys
    repeated labels and JSON. text: the model's text config, whose token numbers are taken.
    """
    made: Any = GenerationConfig  # untyped in transformers
    config: GenerationConfig = made(
        num_beams=1,
        do_sample=False,
        no_repeat_ngram_size=0,
        early_stopping=False,
        use_cache=True,
        forced_bos_token_id=None,
        forced_eos_token_id=None,
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
        decoder_start_token_id=text.decoder_start_token_id,
    )
    return config


def decode(model: TextModel, memory: Memory, rows: Sequence[Row]) -> list[Generated]:
    """Answer all rows together; a row that ended leaves the batch at once.

    memory: of these rows (TextModel.remember); used up afterwards.
    """
    answers = [_Answer(row) for row in rows]
    live = list(answers)
    last = [model.start] * len(live)
    step = 0
    while live:
        tokens = torch.tensor(last, device=model.device)
        position = torch.tensor([step], device=model.device)
        chosen, log_probs = _best(model.step(memory, tokens[:, None], position)[:, -1], live, step, model.end)
        step += 1
        for answer, token, log_prob in zip(live, chosen[: len(live)], log_probs[: len(live)], strict=True):
            answer.tokens.append(token)
            answer.log_probs.append(log_prob)
        ended = [answer.tokens[-1] == model.end or step >= answer.row.limit for answer in live]
        sources, targets = moves(ended)
        for source, target in zip(sources, targets, strict=True):
            live[target] = live[source]
        live = live[: len(live) - sum(ended)]
        memory.move(sources, targets, len(live))
        last = [answer.tokens[-1] for answer in live]
    return [Generated(tuple(answer.tokens), tuple(answer.log_probs)) for answer in answers]


def _best(logits: torch.Tensor, live: Sequence[_Answer], step: int, end: int) -> tuple[list[int], list[float]]:
    """The likeliest token of each row and its log-probability, also of rows that fill up the batch. Two numbers a row
    are kept, not the vocabulary's (64 rows of 256 steps over 51,328 tokens would take 3.4 GB)."""
    early = [number for number, answer in enumerate(live) if step < answer.row.least]
    if early:
        logits[early, end] = float("-inf")
    best, chosen = logits.max(dim=-1)
    return chosen.tolist(), (best - logits.logsumexp(dim=-1)).tolist()
