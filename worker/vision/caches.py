"""Caches: the keys and values a decoder has computed, in buffers that rows leave without a copy of the rest.

Buffers are written in place; what attention sees are views of them. A row that ended gives its place to the last live
row, so that ending costs one row's copy, as much as reading it twice, and the next step has one row less to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

FIRST_ROOM = 32  # positions; doubled whenever they are used up, so that short answers hold little memory


@dataclass(slots=True)
class Layer:
    """One decoder layer: what the answers so far gave, and what the encoder gave (cross).

    All are (rows, heads, positions, width of a head).
    """

    keys: torch.Tensor
    values: torch.Tensor
    cross_keys: torch.Tensor
    cross_values: torch.Tensor

    def buffers(self) -> tuple[torch.Tensor, ...]:
        return self.keys, self.values, self.cross_keys, self.cross_values


class Memory:
    """All layers' caches of a batch.

    rows: how many are live; they lie in the first places of every buffer. length: positions written so far.
    cross_mask: (rows, 1, 1, encoder positions), added to the attention's logits; None where no row is padded.
    """

    def __init__(self, layers: Sequence[Layer], cross_mask: torch.Tensor | None) -> None:
        self._layers = layers
        self._cross_mask = cross_mask
        self.rows = layers[0].keys.shape[0]
        self.length = 0

    @property
    def cross_mask(self) -> torch.Tensor | None:
        return None if self._cross_mask is None else self._cross_mask[: self.rows]

    def cross(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of what the encoder gave, for one layer."""
        layer = self._layers[number]
        return layer.cross_keys[: self.rows], layer.cross_values[: self.rows]

    def reserve(self, more: int) -> None:
        """Room for that many further positions."""
        needed, room = self.length + more, self._layers[0].keys.shape[2]
        if needed <= room:
            return
        room = max(needed, 2 * room)
        for layer in self._layers:
            layer.keys = self._grown(layer.keys, room)
            layer.values = self._grown(layer.values, room)

    def _grown(self, buffer: torch.Tensor, room: int) -> torch.Tensor:
        rows, heads, _, width = buffer.shape
        larger = buffer.new_empty(rows, heads, room, width)
        larger[: self.rows, :, : self.length] = buffer[: self.rows, :, : self.length]
        return larger

    def append(self, number: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one layer's keys and values of new positions; everything written so far, as views.

        `advance` once all layers have written.
        """
        layer, end = self._layers[number], self.length + keys.shape[2]
        layer.keys[: self.rows, :, self.length : end] = keys
        layer.values[: self.rows, :, self.length : end] = values
        return layer.keys[: self.rows, :, :end], layer.values[: self.rows, :, :end]

    def advance(self, positions: int) -> None:
        self.length += positions

    def move(self, sources: Sequence[int], targets: Sequence[int], rows: int) -> None:
        """Copy rows `sources` over rows `targets`, then keep the first `rows`."""
        if sources:
            device = self._layers[0].keys.device
            origin, place = torch.tensor(sources, device=device), torch.tensor(targets, device=device)
            for layer in self._layers:
                for buffer in layer.buffers():
                    buffer[place] = buffer[origin]
            if self._cross_mask is not None:
                self._cross_mask[place] = self._cross_mask[origin]
        self.rows = rows


def moves(ended: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Which rows go where, so that those that did not end fill the first places. Both lists have one length."""
    live = sum(not done for done in ended)
    targets = [row for row in range(live) if ended[row]]
    sources = [row for row in range(live, len(ended)) if not ended[row]]
    return sources, targets
