"""Several processes training one model: each takes a share of the scenes, gradients are averaged.

Start with torchrun (`torchrun --nproc-per-node 2 -m worker.training.pretrain ...`). Two processes of one thread bear a
busy machine better than one of two: they wait for each other once a step, not once an operation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter


def join() -> None:
    """Meet the others, where torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")


def share() -> tuple[int, int]:
    """This process's number and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def average_gradients(parameters: Sequence[Parameter]) -> None:
    """The mean gradient, in one message."""
    if not dist.is_initialized():
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, piece in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(piece.view_as(gradient))


def shared_work(inputs: list[Tensor], work: Callable[[list[Tensor]], list[Tensor]]) -> list[Tensor]:
    """`work` on a list of tensors of unchanged shapes, every process doing its part of the list."""
    rank, ranks = share()
    if ranks == 1:
        return work(inputs)
    flat = torch.zeros(sum(one.numel() for one in inputs))
    pieces = [
        piece.view_as(one) for piece, one in zip(torch.split(flat, [i.numel() for i in inputs]), inputs, strict=True)
    ]
    for place, done in zip(range(rank, len(inputs), ranks), work(inputs[rank::ranks]), strict=True):
        pieces[place].copy_(done)
    dist.all_reduce(flat)
    return pieces


def anyone(stops: bool) -> bool:
    """Whether any process wants to stop: all leave the loop at the same step."""
    if not dist.is_initialized():
        return stops
    vote = torch.tensor([float(stops)])
    dist.all_reduce(vote)
    return bool(vote.item() > 0)
