"""The language half of Florence-2 as decoding needs it: prompts and image features in, the next tokens' logits out.

The encoder runs as the library wrote it. The decoder's layers are the library's modules too (weights, adapters,
projections), but wired here: the library's own forward builds masks and grows its caches anew at every step, and it
cannot decode several continuations of one row side by side, which a prefix tree needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn import functional

from worker.vision.caches import FIRST_ROOM, Layer, Memory

# Prompts through the encoder at once. Fewer, and the matrices are small; more, and their activations (7 MB a prompt at
# base size in float32) leave a CPU's cache.
ENCODED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt to answer: its tokens, the image it is about (row of the features) and its token limit.

    least: tokens that come before the answer may end, for measurements at a fixed length.
    """

    tokens: tuple[int, ...]
    image: int
    limit: int
    least: int = 0


class TextModel:
    """Encoder, decoder and output head of a Florence2ForConditionalGeneration."""

    def __init__(self, model: Any) -> None:
        text = model.config.text_config
        self.start: int = text.decoder_start_token_id
        self.end: int = text.eos_token_id
        self.pad: int = text.pad_token_id
        self._image_token: int = model.config.image_token_id
        self._embed = model.get_input_embeddings()
        self._encoder = model.model.language_model.encoder
        self._decoder = model.model.language_model.decoder
        self._head = model.lm_head

    @property
    def device(self) -> torch.device:
        return cast(torch.device, self._head.weight.device)

    def remember(self, features: torch.Tensor, rows: Sequence[Row]) -> Memory:
        """Encode every prompt with its image's features and compute what all decoding steps will look back at.

        features: (images, image tokens, width) as the projector made them.
        """
        longest = max(len(row.tokens) for row in rows)
        layers = [self._empty(layer, len(rows), longest) for layer in self._decoder.layers]
        for numbers in _alike(rows):
            some = [rows[number] for number in numbers]
            hidden = self._encode(features, some)
            place = torch.tensor(numbers, device=hidden.device)
            for layer, module in zip(layers, self._decoder.layers, strict=True):
                layer.cross_keys[place, :, : hidden.shape[1]] = _heads(module.encoder_attn, "k_proj", hidden)
                layer.cross_values[place, :, : hidden.shape[1]] = _heads(module.encoder_attn, "v_proj", hidden)
        return Memory(layers, self._padding([len(row.tokens) for row in rows]))

    def _encode(self, features: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        """(rows, longest prompt, width)."""
        device, longest = self.device, max(len(row.tokens) for row in rows)
        ids = torch.tensor([[*row.tokens, *[self.pad] * (longest - len(row.tokens))] for row in rows], device=device)
        lengths = torch.tensor([len(row.tokens) for row in rows], device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]
        of_rows = torch.tensor([row.image for row in rows], device=device)
        embedded = self._embed(ids)
        seen = features.index_select(0, of_rows).to(embedded.dtype)
        embedded = embedded.masked_scatter((ids == self._image_token).unsqueeze(-1), seen)
        hidden = self._encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        return cast(torch.Tensor, hidden)

    def _empty(self, module: Any, rows: int, longest: int) -> Layer:
        """Zeros where padding will be looked at with weight 0: what is not a number would stay so."""
        attention, weight = module.self_attn, self._head.weight
        heads, width = attention.num_heads, attention.head_dim
        answer = [weight.new_empty(rows, heads, FIRST_ROOM, width) for _ in range(2)]
        prompt = [weight.new_zeros(rows, heads, longest, width) for _ in range(2)]
        return Layer(*answer, *prompt)

    def _padding(self, lengths: Sequence[int]) -> torch.Tensor | None:
        if len(set(lengths)) == 1:
            return None
        device, dtype = self.device, self._head.weight.dtype
        outside = torch.arange(max(lengths), device=device) >= torch.tensor(lengths, device=device)[:, None]
        mask = torch.zeros(outside.shape, device=device, dtype=dtype).masked_fill_(outside, float("-inf"))
        return mask[:, None, None, :]

    def step(
        self, memory: Memory, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits after each token, in float32: (rows, tokens, vocabulary). `memory` grows by these tokens.

        tokens: (memory.rows, tokens). positions: of each in its answer, 0 for the start token; (tokens) or (rows,
        tokens). mask: (rows, 1, tokens, memory.length + tokens) and true where a token sees another of its answer;
        None where each row has one token that sees all before it.
        """
        memory.reserve(tokens.shape[1])
        decoder = self._decoder
        table = decoder.embed_positions  # called itself, it takes one position for all rows
        hidden = decoder.embed_tokens(tokens) + functional.embedding(positions + table.offset, table.weight)
        hidden = decoder.layernorm_embedding(hidden)
        for number, layer in enumerate(decoder.layers):
            hidden = _layer(layer, number, hidden, memory, mask)
        memory.advance(tokens.shape[1])
        return cast(torch.Tensor, self._head(hidden).float())


def _alike(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Numbers of rows to encode together: of like length, so that little is padded (a task's prompts are equal)."""
    order = sorted(range(len(rows)), key=lambda number: len(rows[number].tokens))
    for first in range(0, len(order), ENCODED_AT_ONCE):
        yield order[first : first + ENCODED_AT_ONCE]


def _layer(layer: Any, number: int, hidden: torch.Tensor, memory: Memory, mask: torch.Tensor | None) -> torch.Tensor:
    """One layer of BART's decoder (arXiv:1910.13461): normalised after each of its three parts."""
    own, cross = layer.self_attn, layer.encoder_attn
    keys, values = memory.append(number, _heads(own, "k_proj", hidden), _heads(own, "v_proj", hidden))
    hidden = layer.self_attn_layer_norm(hidden + _attend(own, hidden, keys, values, mask))
    attended = _attend(cross, hidden, *memory.cross(number), memory.cross_mask)
    hidden = layer.encoder_attn_layer_norm(hidden + attended)
    widened = layer.fc2(layer.activation_fn(layer.fc1(hidden)))
    return cast(torch.Tensor, layer.final_layer_norm(hidden + widened))


def _attend(
    attention: Any, hidden: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    query = _heads(attention, "q_proj", hidden)
    seen = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=attention.scaling)
    return cast(torch.Tensor, attention.out_proj(seen.transpose(1, 2).flatten(2)))


def _heads(attention: Any, projection: str, hidden: torch.Tensor) -> torch.Tensor:
    """(rows, heads, positions, width of a head)."""
    projected = getattr(attention, projection)(hidden)
    split = projected.unflatten(-1, (attention.num_heads, attention.head_dim))
    return cast(torch.Tensor, split.transpose(1, 2))
