"""Whether the engine answers as the usual way does, token for token, in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from domain.observations import Plan
from worker.bench.plans import TASKS
from worker.bench.ways import Generate
from worker.vision.engine import Asked, FlorenceEngine, Look
from worker.vision.florence import load

AT_ONCE = 8  # photos looked at together: a mixed batch must answer as single calls do
SHARE = 0.995  # of the answers that must agree to the last token
NEAR_TIE = 1e-4  # logits of the best two tokens this near may come out either way: sums in another order


def compare(
    model: str, images: Sequence[Image.Image], tell: Callable[[], None] = lambda: None
) -> tuple[dict[str, Any], bool]:
    """Figures, and whether the answers count as identical. tell: called after each photo."""
    usual = Generate(load(model, dtype="float32"), forced=False, batch=1)
    engine = FlorenceEngine.load(model, dtype="float32", compiling="off")
    same = ties = answers = 0
    for first in range(0, len(images), AT_ONCE):
        some = images[first : first + AT_ONCE]
        looks = [Look(image, "", *image.size, Plan(tasks=TASKS)) for image in some]
        for asked, ours in engine.generate(looks):
            theirs = _usual_tokens(usual, asked, some)
            answers += 1
            if ours.tokens == theirs:
                same += 1
            elif _parts_at_a_tie(usual, asked, some, ours.tokens, theirs):
                ties += 1
            if asked.prompt.task is TASKS[-1]:
                tell()
    figures = {"model": engine.engine.model, "photos": len(images), "answers": answers, "same": same, "near_ties": ties}
    return figures, same >= SHARE * answers and same + ties == answers


@torch.inference_mode()
def _usual_tokens(usual: Generate, asked: Asked, images: Sequence[Image.Image]) -> tuple[int, ...]:
    made = usual.answer(asked.prompt.task, [images[asked.look]])
    return tuple(made[0, 1:].tolist())


@torch.inference_mode()
def _parts_at_a_tie(
    usual: Generate, asked: Asked, images: Sequence[Image.Image], ours: Sequence[int], theirs: Sequence[int]
) -> bool:
    """Whether, at the first token that differs, the two tokens are the best two and as good as equal."""
    step = next((place for place, (one, two) in enumerate(zip(ours, theirs, strict=False)) if one != two), None)
    if step is None:
        return False
    made = usual.answer(asked.prompt.task, [images[asked.look]], output_logits=True, return_dict_in_generate=True)
    best, tokens = made.logits[step][0].topk(2)
    return {ours[step], theirs[step]} == set(tokens.tolist()) and float(best[0] - best[1]) <= NEAR_TIE
