"""Preparing ahead: order, errors, and that it is ahead."""

from __future__ import annotations

import threading

import pytest

from worker.vision.ahead import ahead


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_items_come_in_order(count: int) -> None:
    assert list(ahead(lambda number: number * 10, range(count))) == [number * 10 for number in range(count)]


def test_the_next_is_under_way_while_the_last_is_used() -> None:
    began = [threading.Event() for _ in range(3)]

    def prepare(number: int) -> int:
        began[number].set()
        return number

    for number in ahead(prepare, range(3)):
        if number < 2:
            assert began[number + 1].wait(10)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_an_error_is_raised_where_its_item_is_due(bad: int) -> None:
    def prepare(number: int) -> int:
        if number == bad:
            raise ValueError("unreadable")
        return number

    seen: list[int] = []
    with pytest.raises(ValueError, match="unreadable"):
        for number in ahead(prepare, range(3)):
            seen.append(number)
    assert seen == list(range(bad))
