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
from worker.vision.steady import PROMPT_ROOM, rounded_up

ENCODED_AT_ONCE = 8  # prompts through the encoder on CUDA; on a CPU one at a time (steady.py)
FEW_QUERIES = 8  # up to so many, a CPU is faster without its attention kernel


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
    """Encoder, decoder and output head of a Florence2ForConditionalGeneration.

    block: decoding steps of one token a row are filled up to a multiple of so many rows (steady.row_block).
    """

    def __init__(self, model: Any, block: int = 1) -> None:
        text = model.config.text_config
        self.start: int = text.decoder_start_token_id
        self.end: int = text.eos_token_id
        self.pad: int = text.pad_token_id
        self._image_token: int = model.config.image_token_id
        self._embed = model.get_input_embeddings()
        self._encoder = model.model.language_model.encoder
        self._decoder = model.model.language_model.decoder
        self._model = model  # whose head an adapter may replace
        self._block = block

    @property
    def one_by_one(self) -> bool:
        """Whether pictures, prompts and choices are computed one at a time."""
        return self.device.type == "cpu"

    @property
    def device(self) -> torch.device:
        return cast(torch.device, self._embed.weight.device)

    def remember(self, features: torch.Tensor, rows: Sequence[Row]) -> Memory:
        """Encode every prompt with its image's features and compute what all decoding steps will look back at.

        features: (images, image tokens, width) as the projector made them. Rows whose `room` differs should not be
        remembered together: the longer would pad the shorter, and change the last digits of its answer.
        """
        longest = max(room(row, features.shape[1]) for row in rows)
        layers = [self._empty(layer, len(rows), longest) for layer in self._decoder.layers]
        for numbers in _alike(rows, 1 if self.one_by_one else ENCODED_AT_ONCE):
            some = [rows[number] for number in numbers]
            hidden = self._encode(features, some)
            place = torch.tensor(numbers, device=hidden.device)
            for layer, module in zip(layers, self._decoder.layers, strict=True):
                layer.cross_keys[place, :, : hidden.shape[1]] = _heads(module.encoder_attn, "k_proj", hidden)
                layer.cross_values[place, :, : hidden.shape[1]] = _heads(module.encoder_attn, "v_proj", hidden)
        return Memory(layers, self._padding([len(row.tokens) for row in rows], longest))

    def _encode(self, features: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        """(rows, longest prompt, width)."""
        device, lengths = self.device, [len(row.tokens) for row in rows]
        longest = max(lengths)
        ids = torch.tensor([[*row.tokens, *[self.pad] * (longest - len(row.tokens))] for row in rows], device=device)
        mask = None  # where nothing is padded, the library need not look whether anything is
        if min(lengths) < longest:
            mask = torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]
        of_rows = torch.tensor([row.image for row in rows], device=device)
        embedded = self._embed(ids)
        seen = features.index_select(0, of_rows).to(embedded.dtype)
        embedded = embedded.masked_scatter((ids == self._image_token).unsqueeze(-1), seen)
        hidden = self._encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        return cast(torch.Tensor, hidden)

    def _empty(self, module: Any, rows: int, longest: int) -> Layer:
        """Zeros where padding will be looked at with weight 0: what is not a number would stay so."""
        attention, weight = module.self_attn, self._embed.weight
        heads, width = attention.num_heads, attention.head_dim
        answer = [weight.new_empty(rows, heads, FIRST_ROOM, width) for _ in range(2)]
        prompt = [weight.new_zeros(rows, heads, longest, width) for _ in range(2)]
        return Layer(*answer, *prompt)

    def _padding(self, lengths: Sequence[int], longest: int) -> torch.Tensor | None:
        if min(lengths) == longest:
            return None
        device, dtype = self.device, self._embed.weight.dtype
        inside = torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]
        return _added(inside, dtype)[:, None, None, :]

    def step(
        self, memory: Memory, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits after each token, in float32: (rows, tokens, vocabulary), of one token a row with further rows behind
        them that mean nothing. `memory` grows by these tokens.

        tokens: (memory.rows, tokens). positions: of each in its answer, 0 for the start token; (tokens) or (rows,
        tokens). mask: (rows, 1, tokens, memory.length + tokens) and true where a token sees another of its answer;
        None where each row has one token that sees all before it.
        """
        memory.reserve(tokens.shape[1])
        seen = None if mask is None else _added(mask, self._embed.weight.dtype)
        if tokens.shape[1] == 1:
            tokens = _filled(tokens, self._block, self.pad)
            positions = positions if positions.dim() == 1 else _filled(positions, self._block, 0)
        decoder = self._decoder
        table = decoder.embed_positions  # called itself, it takes one position for all rows
        hidden = decoder.embed_tokens(tokens) + functional.embedding(positions + table.offset, table.weight)
        hidden = decoder.layernorm_embedding(hidden)
        for number, layer in enumerate(decoder.layers):
            hidden = _layer(layer, number, hidden, memory, seen)
        memory.advance(tokens.shape[1])
        return cast(torch.Tensor, self._model.lm_head(hidden).float())


def room(row: Row, image_tokens: int) -> int:
    """Encoder positions a prompt is given: its own, rounded up so that most prompts are given the same."""
    frame = image_tokens + 2  # start and end
    return frame + rounded_up(max(len(row.tokens) - frame, 1), PROMPT_ROOM)


def _alike(rows: Sequence[Row], most: int) -> Iterator[list[int]]:
    """Numbers of rows to encode together: of like length, so that little is padded (a task's prompts are equal)."""
    order = sorted(range(len(rows)), key=lambda number: len(rows[number].tokens))
    for first in range(0, len(order), most):
        yield order[first : first + most]


def _filled(rows: torch.Tensor, block: int, with_what: int) -> torch.Tensor:
    missing = rounded_up(rows.shape[0], block) - rows.shape[0]
    return rows if missing == 0 else torch.cat([rows, rows.new_full((missing, *rows.shape[1:]), with_what)])


def _layer(layer: Any, number: int, hidden: torch.Tensor, memory: Memory, mask: torch.Tensor | None) -> torch.Tensor:
    """One layer of BART's decoder (arXiv:1910.13461): normalised after each of its three parts. hidden: the memory's
    rows, and those that fill up a block, which attend to nothing."""
    own, cross, live = layer.self_attn, layer.encoder_attn, memory.rows
    keys, values = (_heads(own, name, hidden)[:live] for name in ("k_proj", "v_proj"))
    hidden = layer.self_attn_layer_norm(hidden + _attend(own, hidden, *memory.append(number, keys, values), mask))
    attended = _attend(cross, hidden, *memory.cross(number), memory.cross_mask)
    hidden = layer.encoder_attn_layer_norm(hidden + attended)
    widened = layer.fc2(layer.activation_fn(layer.fc1(hidden)))
    return cast(torch.Tensor, layer.final_layer_norm(hidden + widened))


def _attend(
    attention: Any, hidden: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    query = _heads(attention, "q_proj", hidden)[: keys.shape[0]]
    product = _few_queries if query.device.type == "cpu" and query.shape[2] <= FEW_QUERIES else _sdpa
    seen = product(query, keys, values, mask, attention.scaling).transpose(1, 2).flatten(2)
    return cast(torch.Tensor, attention.out_proj(_filled(seen, hidden.shape[0], 0)))


def _sdpa(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    return functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale)


def _few_queries(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """The same as two products. For one query in bfloat16 PyTorch's kernel for CPUs takes seven times as long (24
    rows of 589 positions: 20 ms a layer, these 3), because it lays out all keys anew for it."""
    likeness = torch.matmul(query * scale, keys.transpose(-1, -2))
    if mask is not None:
        likeness = likeness + mask
    return torch.matmul(likeness.softmax(dim=-1, dtype=torch.float32).to(values.dtype), values)


def _added(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to an attention's logits so that only what is `seen` counts."""
    return torch.zeros(seen.shape, device=seen.device, dtype=dtype).masked_fill_(~seen, float("-inf"))


def _heads(attention: Any, projection: str, hidden: torch.Tensor) -> torch.Tensor:
    """(rows, heads, positions, width of a head)."""
    projected = getattr(attention, projection)(hidden)
    split = projected.unflatten(-1, (attention.num_heads, attention.head_dim))
    return cast(torch.Tensor, split.transpose(1, 2))
