"""Errors keep what they know on the way between processes."""

from __future__ import annotations

import pickle

import pytest

from domain.errors import ExtraMissing, InputRejected, PolicyInvalid, ShelfguardError, Unavailable


@pytest.mark.parametrize(
    "error",
    [
        InputRejected("code", "Say it again."),
        Unavailable("the database", "away"),
        PolicyInvalid(["a.yaml:1: no.", "a.yaml:2: no."]),
        ExtraMissing("rapidocr", "ocr"),
    ],
)
def test_an_error_survives_pickling(error: ShelfguardError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
