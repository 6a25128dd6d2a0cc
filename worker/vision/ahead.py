"""Ahead: the next item is prepared in a thread while the last one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ahead(prepare: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`prepare` of each item, in order, one ahead of what was taken. Its errors are raised where its item is due.

    A single item is prepared where it is asked for: a thread would only be in the way.
    """
    listed = list(items)
    if len(listed) < 2:
        yield from map(prepare, listed)
        return
    with ThreadPoolExecutor(1, "ahead") as pool:
        upcoming: Future[Out] = pool.submit(prepare, listed[0])
        for item in listed[1:]:
            current, upcoming = upcoming.result(), pool.submit(prepare, item)
            yield current
        yield upcoming.result()
