"""Swapping: several adapters for one loaded model, one in use at a time, changed between batches.

Each adapter gets layers of its own, ready to compute (merged in float32, rounded and packed as the model's are), and a
change of adapters exchanges the layers. The base's are never written to: going back is exact however often, and
neither a step nor the compiler notices that there is an adapter. Measured at base size on one Zen 4 core, an adapter of
rank 16 on all attention projections of the language model (72 layers): read and checked in 0.2 s, ready in 0.4 s of CPU
(85 MB in bfloat16), then exchanged in 1 ms. Unmerged, its two products would make a packed layer of 768 x 768 take 169
instead of 67 microseconds for 4 rows and 315 instead of 191 for 24.

Ready layers take memory, so they are made when first used and the least recently used are dropped beyond a bound; the
low-rank factors stay. The base's float32 weights are read again from its files, layer by layer.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from domain.errors import CheckpointRefused, Unavailable
from worker.vision.adapters import BASE, Adapter
from worker.vision.packing import PackedLinear, give_back
from worker.vision.tensors import opened_weights

MEMORY = 1 << 30  # bytes of ready layers

Layers = Mapping[str, nn.Module]


class BaseWeights:
    """A checkpoint's weights by name, read from its files when they are asked for.

    tied: sets of names that are one tensor, of which the files may hold one only.
    """

    def __init__(self, folder: Path, files: tuple[Path, ...], tied: tuple[frozenset[str], ...]) -> None:
        self._folder = folder
        self._files = files
        self._tied = tied
        self._stamps = {file: _stamp(file) for file in files}

    def read(self, name: str) -> torch.Tensor:
        """One weight in float32 on the CPU. Raises CheckpointRefused when the files changed since this was made."""
        names = next((group for group in self._tied if name in group), frozenset({name}))
        for file, stamp in self._stamps.items():
            if _stamp(file) != stamp:
                raise CheckpointRefused(
                    str(self._folder), f"{file.name} changed after the model was loaded.", "Start the worker anew."
                )
        for opened in opened_weights(self._folder, self._files):
            for found in names & set(opened.keys()):
                tensor: torch.Tensor = opened.get_tensor(found).float()
                return tensor
        raise CheckpointRefused(str(self._folder), f"There is no tensor {name}.", "Start the worker anew.")


class Adapters:
    """The adapters of one model.

    memory: bytes of ready layers to hold. The model must be laid out (packed, moved, in its type) before.
    """

    def __init__(self, model: Any, base: BaseWeights, memory: int = MEMORY) -> None:
        self._model = model
        self._base = base
        self._memory = memory
        self._known: dict[str, Adapter] = {}
        self._ready: OrderedDict[str, dict[str, nn.Module]] = OrderedDict()  # least recently used first
        self._plain: dict[str, nn.Module] = {}  # the base's layers that some adapter has changed
        self._changed: set[str] = set()
        self.current: Adapter | None = None

    def add(self, adapter: Adapter) -> None:
        """Make it known; one of the same name is replaced."""
        if self.current is not None and self.current.name == adapter.name:
            self.use(None)
        self._ready.pop(adapter.name, None)
        self._known[adapter.name] = adapter

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._known)

    @property
    def held(self) -> int:
        """Bytes of ready layers."""
        return sum(_size(layer) for layers in self._ready.values() for layer in layers.values())

    def get(self, name: str) -> Adapter | None:
        """The adapter of that name; None for the base. Raises Unavailable: photos wait until somebody adds it."""
        if name == BASE:
            return None
        if name not in self._known:
            known = ", ".join(self._known) or "none"
            raise Unavailable(
                f"adapter {name!r}",
                f"it is not loaded (loaded: {known}); put its directory under SHELFGUARD_ADAPTERS and restart the "
                "vision workers, or route photos elsewhere",
            )
        return self._known[name]

    def use(self, adapter: Adapter | None) -> None:
        """From now on the model answers with this adapter. Raises CheckpointRefused (BaseWeights.read), after which
        the adapter before is still in use."""
        if adapter is self.current:
            return
        layers: Layers = {} if adapter is None else self._layers(adapter)
        for path in self._changed - layers.keys():
            self._put(path, self._plain[path])
        for path, layer in layers.items():
            self._put(path, layer)
        self._changed, self.current = set(layers), adapter

    def _layers(self, adapter: Adapter) -> Layers:
        """Ready layers of an adapter: those at hand, else made now."""
        if adapter.name not in self._ready:
            self._ready[adapter.name] = {path: self._made(adapter, path) for path in adapter.layers}
        self._ready.move_to_end(adapter.name)
        self._drop()
        return self._ready[adapter.name]

    def _made(self, adapter: Adapter, path: str) -> nn.Module:
        plain = self._plain.setdefault(path, self._model.get_submodule(path))
        return with_weight(plain, adapter.merged(path, self._base.read(f"{path}.weight")), self._model)

    def _drop(self) -> None:
        """Down to the bound; the last one used stays whatever it takes."""
        before = len(self._ready)
        while len(self._ready) > 1 and self.held > self._memory:
            self._ready.popitem(last=False)
        if len(self._ready) < before:
            give_back()

    def _put(self, path: str, layer: nn.Module) -> None:
        owner, _, name = path.rpartition(".")
        setattr(self._model.get_submodule(owner), name, layer)


def with_weight(plain: nn.Module, weight: torch.Tensor, model: Any) -> nn.Module:
    """A layer like another one, in type, place, layout and bias, with a weight of its own."""
    weight = weight.to(device=model.device, dtype=model.dtype)
    if isinstance(plain, PackedLinear):
        return plain.with_weight(weight)
    if weight.dim() == 4:  # the tower keeps its convolutions so (tower.py)
        weight = weight.contiguous(memory_format=torch.channels_last)
    made = copy.copy(plain)
    made._parameters = {**plain._parameters, "weight": nn.Parameter(weight, requires_grad=False)}
    return made


def _size(layer: Any) -> int:
    if isinstance(layer, PackedLinear):
        return layer.size
    return int(layer.weight.numel() * layer.weight.element_size())


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
