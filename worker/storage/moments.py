"""Spans of time in SQL, by the database's clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func


def seconds_long(seconds: Any) -> ColumnElement[Any]:
    """An interval of so many seconds, a number or an SQL expression."""
    interval: ColumnElement[Any] = func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    return interval


def seconds_ahead(seconds: Any) -> ColumnElement[Any]:
    """So many seconds from this very statement on, not from the transaction's start."""
    moment: ColumnElement[Any] = func.clock_timestamp() + seconds_long(seconds)
    return moment
