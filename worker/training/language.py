"""The language model's loss: many prompts share one look at each scene."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import BartTokenizer, Florence2ForConditionalGeneration

from worker.training import strips

PAD, START = 1, 2
# A place is right to within a few of its thousand bins: neighbours share the blame and the praise.
SPREAD = 12.0
REACH = 36
BINS = 1000
Pair = tuple[int, list[int], list[int]]  # the scene's row, prompt, answer


def language_loss(
    model: Florence2ForConditionalGeneration,
    tokens: Tensor,
    pairs: list[Pair],
    tokenizer: BartTokenizer,
    first: Tensor | None = None,
) -> dict[str, Tensor]:
    """Mean loss of a token over all answers; and how much of it is places. `first` are the rows where strips start."""
    features = model.model.multi_modal_projector(tokens) if first is None else strips.project(model, tokens, first)
    columns = None if first is None else tokens.shape[3]
    lowest = int(tokenizer.convert_tokens_to_ids("<loc_0>"))
    sums, counts, words = [], 0, []
    for group in _alike(pairs):
        logits, labels = _answers(model, features, group, columns)
        known = labels != -100
        flat, wanted = logits[known], labels[known]
        placed = (wanted >= lowest) & (wanted < lowest + BINS)
        plain = functional.cross_entropy(flat[~placed], wanted[~placed], reduction="sum")
        sums.append(plain + _place_loss(flat[placed], wanted[placed] - lowest, lowest))
        counts += int(known.sum())
        words.append((plain.detach(), int((~placed).sum())))
    word = torch.stack([loss for loss, _ in words]).sum() / max(1, sum(count for _, count in words))
    return {"language": torch.stack(sums).sum() / counts, "word": word}


def _alike(pairs: list[Pair], parts: int = 3) -> list[list[Pair]]:
    """Answers of like length together, so that little padding is computed."""
    ordered = sorted(pairs, key=lambda pair: len(pair[2]))
    size = -(-len(ordered) // parts)
    return [ordered[place : place + size] for place in range(0, len(ordered), size)]


def _answers(
    model: Florence2ForConditionalGeneration, features: Tensor, pairs: list[Pair], columns: int | None
) -> tuple[Tensor, Tensor]:
    """Logits and labels of all answers; `columns` of the whole picture where the features are a strip's."""
    rows = torch.tensor([row for row, _, _ in pairs])
    prompts = pad_sequence([torch.tensor(prompt) for _, prompt, _ in pairs], batch_first=True, padding_value=PAD)
    labels = pad_sequence([torch.tensor(answer) for _, _, answer in pairs], batch_first=True, padding_value=-100)
    seen = features[rows]
    asked = model.get_input_embeddings()(prompts)
    if columns is not None:
        asked = strips.moved(model, asked, seen.shape[1], columns)
    embedded = torch.cat([seen, asked], dim=1)
    mask = torch.cat([torch.ones(seen.shape[:2], dtype=torch.long), (prompts != PAD).long()], dim=1)
    shifted = torch.full_like(labels, START)
    shifted[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == -100, PAD)
    encoded = model.model.language_model.encoder(inputs_embeds=embedded, attention_mask=mask)
    decoded = model.model.language_model.decoder(
        input_ids=shifted, encoder_hidden_states=encoded[0], encoder_attention_mask=mask, use_cache=False
    )
    return model.lm_head(decoded[0]), labels


def _place_loss(logits: Tensor, bins: Tensor, first: int) -> Tensor:
    """Cross entropy against a narrow bell over the bins around the right one."""
    if not len(bins):
        return logits.sum() * 0
    chances = functional.log_softmax(logits, dim=-1)
    steps = torch.arange(-REACH, REACH + 1)
    bell = torch.softmax(-0.5 * (steps / SPREAD) ** 2, dim=0)
    near = bins[:, None] + steps
    # Nothing lies beyond the edge: heaped on the last bin, that weight would turn every unsure place into an edge.
    weights = bell * ((near >= 0) & (near < BINS))
    weights = weights / weights.sum(1, keepdim=True)
    return -(chances.gather(1, near.clamp(0, BINS - 1) + first) * weights).sum()
