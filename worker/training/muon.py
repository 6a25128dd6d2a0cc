"""Muon for matrices and AdamW for the rest, in float32 on a CPU.

Matrices step along the orthogonalised momentum, five Newton-Schulz iterations each; equal shapes go through them
together. `torch.optim.Muon` does the same in bfloat16, which is slow where the processor has no unit for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from worker.training import team


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Roughly the nearest orthogonal matrices of a stack (n x rows x columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    out: Tensor = x.mT if tall else x
    return out


def orthogonal_all(matrices: list[Tensor]) -> list[Tensor]:
    """Each matrix orthogonalised, equal shapes together."""
    places: dict[torch.Size, list[int]] = {}
    for place, matrix in enumerate(matrices):
        places.setdefault(matrix.shape, []).append(place)
    out = list(matrices)
    for alike in places.values():
        for place, done in zip(alike, orthogonal(torch.stack([matrices[p] for p in alike])), strict=True):
            out[place] = done
    return out


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised; step lengths matched to AdamW's, so that rates carry over."""

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                updates = team.shared_work([self._direction(p, group["momentum"]) for p in parameters], orthogonal_all)
                self._apply(parameters, updates, group)

    def _direction(self, parameter: Tensor, momentum: float) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - momentum)
        direction: Tensor = parameter.grad.lerp(state["momentum"], momentum)
        return direction

    def _apply(self, parameters: list[Tensor], updates: list[Tensor], group: dict[str, Any]) -> None:
        for parameter, update in zip(parameters, updates, strict=True):
            length = 0.2 * max(parameter.shape) ** 0.5 * group["lr"]
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-length)
