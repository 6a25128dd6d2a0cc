"""Decoding: rows of prompts and image features to tokens with the log-probability of each, greedily.

One padded batch for whatever prompts come; the answers are those of one call per prompt (tests/worker/vision).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutputWithPooling


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt to answer: its tokens, the image it is about (row of the features) and its token limit."""

    tokens: tuple[int, ...]
    image: int
    limit: int


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated tokens up to and with the end token, and the natural log-probability of each when it was chosen."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


class ChosenLogProbs(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Keeps the log-probability of the greedy choice at every step: rows x steps numbers instead of all logits
    (64 rows of 256 steps over 51,328 tokens would take 3.4 GB)."""

    def __init__(self) -> None:
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        numbers = scores.float()
        self._steps.append(numbers.amax(dim=-1) - numbers.logsumexp(dim=-1))
        return scores

    def rows(self) -> list[list[float]]:
        """One list for each row, in natural log."""
        listed: list[list[float]] = torch.stack(self._steps, dim=1).tolist()
        return listed


class RowLimits(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed here
    """Ends each row at its own limit; the others go on."""

    def __init__(self, limits: torch.Tensor) -> None:
        self._limits = limits

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.BoolTensor:
        # The first token of the decoder is its start token, not an answer.
        done: Any = self._limits <= input_ids.shape[1] - 1
        return done  # type: ignore[no-any-return]


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


def decode(model: Any, features: torch.Tensor, rows: Sequence[Row], pad: int) -> list[Generated]:
    """Answer all rows in one padded batch.

    features: (images, image tokens, width) as the projector made them, each repeated here once per row that asks
    about it. model: Florence2ForConditionalGeneration whose generation config is `greedy_config`'s.
    """
    device = features.device
    input_ids, attention_mask = _padded([row.tokens for row in rows], pad, device)
    limits = torch.tensor([row.limit for row in rows], device=device)
    of_rows = torch.tensor([row.image for row in rows], device=device)
    chosen = ChosenLogProbs()
    sequences = model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,  # transformers no longer infers it for encoder-decoders
        mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=features.index_select(0, of_rows))},
        max_new_tokens=max(row.limit for row in rows),
        logits_processor=LogitsProcessorList([chosen]),
        stopping_criteria=StoppingCriteriaList([RowLimits(limits)]),
    )
    end = model.generation_config.eos_token_id
    return [
        _ended(tokens[1:], log_probs, row.limit, end)
        for tokens, log_probs, row in zip(sequences.tolist(), chosen.rows(), rows, strict=True)
    ]


def _padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, longest) token numbers, padded at the right, and their mask."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return ids, mask


def _ended(tokens: Sequence[int], log_probs: Sequence[float], limit: int, end: int) -> Generated:
    """Without the padding that follows a row's end in a batch whose other rows went on."""
    length = min(limit, len(tokens))
    if end in tokens[:length]:
        length = list(tokens).index(end) + 1
    return Generated(tuple(tokens[:length]), tuple(log_probs[:length]))
