"""Seconds that parts of the work took, added up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """seconds: by part, since it was made or last cleared.

    settle: called at the end of each part; where work is only queued (CUDA) it must wait for it, or a part's time shows
    in the next one that looks at a result.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.settle: Callable[[], None] = lambda: None

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
            self.settle()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
