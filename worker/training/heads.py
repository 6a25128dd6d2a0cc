"""Dense heads on the tower's tokens: class, box, colour and characters for small cells of the picture.

They teach the tower what is where far sooner than captions can, and are thrown away at export.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from worker.training.fresh import STRIDE
from worker.training.synth.lettering import ALPHABET
from worker.training.synth.scenes import Rendered
from worker.training.synth.vocabulary import COLOURS, classes

CELL = 8  # pixels of an object cell
LETTER_CELL = 4  # pixels of a character cell
BOX_UNIT = 32  # pixels; box distances in this unit lie around one, where the loss is well shaped
CLASSES = len(classes()) + 1  # 0 is background
COLOUR_NAMES = list(COLOURS)
COLOURED = len(COLOUR_NAMES) + 1  # 0 is the natural colour
LETTERS = len(ALPHABET) + 1


@dataclass(frozen=True)
class Cells:
    """Labels of one scene for the heads, as small arrays."""

    kinds: NDArray[np.uint8]  # rows x columns, 0 or class id + 1
    boxes: NDArray[np.float32]  # rows x columns x 4: distances to left, top, right, bottom in BOX_UNIT
    colours: NDArray[np.uint8]
    letters: NDArray[np.uint8]
    main: int


def label(rendered: Rendered) -> Cells:
    """Cells of a scene whose sides are multiples of a cell's."""
    width, height = rendered.picture.size
    count = len(rendered.scene.items)
    blocks = rearrange(rendered.instances, "(r p) (c q) -> r c (p q)", p=CELL, q=CELL)
    cover = np.stack([(blocks == place + 1).mean(-1) for place in range(count)], axis=-1)
    # Thin things (an arrow, glasses) seldom fill a cell: an eighth is enough to own it.
    owner = np.where(cover.max(-1) > 0.12, cover.argmax(-1) + 1, 0)
    kinds = np.array([0, *(item.class_id + 1 for item in rendered.scene.items)], dtype=np.uint8)
    colours = np.array(
        [0, *(COLOUR_NAMES.index(item.colour) + 1 if item.colour else 0 for item in rendered.scene.items)],
        dtype=np.uint8,
    )
    x, y = np.meshgrid(
        *((np.arange(side // CELL, dtype=np.float32) + 0.5) * CELL / BOX_UNIT for side in (width, height))
    )
    scale = np.array([width, height] * 2, dtype=np.float32) / BOX_UNIT
    sides = np.concatenate([np.zeros((1, 4), np.float32), rendered.boxes * scale])[owner]
    boxes = np.stack([x - sides[..., 0], y - sides[..., 1], sides[..., 2] - x, sides[..., 3] - y], axis=-1)
    middle = LETTER_CELL // 2
    return Cells(
        kinds=kinds[owner],
        boxes=boxes.astype(np.float32),
        colours=colours[owner],
        letters=rendered.characters[middle::LETTER_CELL, middle::LETTER_CELL],
        main=rendered.scene.items[0].class_id,
    )


class Heads(nn.Module):
    """One 1x1 convolution for each question, unfolded from tokens to cells."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.objects = nn.Conv2d(width, (STRIDE // CELL) ** 2 * (CLASSES + 4 + COLOURED), 1)
        self.letters = nn.Conv2d(width, (STRIDE // LETTER_CELL) ** 2 * LETTERS, 1)
        self.whole = nn.Linear(width, len(classes()))

    def forward(
        self, tokens: Tensor, batch: dict[str, Tensor], pooled: float, letters: bool = True
    ) -> dict[str, Tensor]:
        """The losses of one batch; `pooled` weighs the question for the whole picture's object."""
        fold = STRIDE // CELL
        cells = rearrange(self.objects(tokens), "b (p q k) r c -> b (r p) (c q) k", p=fold, q=fold)
        kinds, boxes, colours = cells.split([CLASSES, 4, COLOURED], dim=-1)
        found = batch["kinds"] > 0
        weights = torch.ones(CLASSES)
        weights[0] = 0.25  # most cells are background, which is soon learnt
        losses = {
            "kind": functional.cross_entropy(kinds.flatten(0, 2), batch["kinds"].flatten(), weight=weights),
            "box": functional.smooth_l1_loss(boxes[found], batch["boxes"][found], beta=0.1),
            "colour": functional.cross_entropy(colours[found], batch["colours"][found]),
        }
        with torch.no_grad():
            losses["right_kind"] = (kinds[found].argmax(-1) == batch["kinds"][found]).float().mean()
        if letters:
            losses |= self._spelt(tokens, batch["letters"].flatten())
        if pooled:
            losses["whole"] = functional.cross_entropy(self.whole(tokens.mean((2, 3))), batch["main"])
        return losses

    def _spelt(self, tokens: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        fold = STRIDE // LETTER_CELL
        letters = rearrange(self.letters(tokens), "b (p q k) r c -> (b r p c q) k", p=fold, q=fold)
        weights = torch.ones(LETTERS)
        weights[0] = 0.1
        inked = wanted > 0
        right = (letters.detach()[inked].argmax(-1) == wanted[inked]).float().mean()
        return {"letter": functional.cross_entropy(letters, wanted, weight=weights), "right_letter": right}
