"""Both replays from beginning to end: one snapshot, the figures, the samples in full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.backtest.document import Frame, backtest_frame, document
from worker.backtest.figures import Tally
from worker.backtest.gallery import Explain, Shown, explain_shadow, gather
from worker.backtest.replay import STATEMENT_LIMIT_MS, Progress, Work, replay
from worker.backtest.reviews import ReviewCost
from worker.backtest.work import Backtest, Shadow
from worker.storage.database import Database
from worker.storage.history import History, Selection


@dataclass(frozen=True, slots=True)
class Result:
    """The document, and what a report draws."""

    document: dict[str, Any]
    samples: dict[str, Shown]


def backtest(
    url: str, work: Backtest, selection: Selection, cost: ReviewCost, processes: int, progress: Progress
) -> Result:
    """Replay a candidate. Raises PolicyInvalid, InputRejected for an unknown rule, Unavailable."""
    frame, judge = backtest_frame(work, selection, cost), work.judge()
    tally, samples = _replayed(
        url, work, selection, processes, progress, lambda past, seen: judge.of(past.tenant).explain(past, seen)
    )
    return _result(document(tally, frame, judge.of), samples)


def shadow(
    url: str, work: Shadow, selection: Selection, cost: ReviewCost, processes: int, progress: Progress
) -> Result:
    """Report on shadow rules. Raises Unavailable."""
    frame = Frame("shadow", selection, cost, rules=work.rules, resolutions=work.resolutions is not None)
    explain = explain_shadow(work.rules, work.channels)
    tally, samples = _replayed(url, work, selection, processes, progress, explain)
    return _result(document(tally, frame), samples)


def _replayed(
    url: str, work: Work, selection: Selection, processes: int, progress: Progress, explain: Explain
) -> tuple[Tally, dict[str, Shown]]:
    """What the replay counted, and its samples in full, from one snapshot."""
    database = Database(url, pool_size=2, statement_timeout_ms=STATEMENT_LIMIT_MS)
    try:
        history = History(database)
        with history.open(selection) as scan:
            tally = replay(url, scan, work, processes, progress)
            with history.reading(scan) as reader:
                return tally, gather(reader, _ids(tally), explain)
    finally:
        database.close()


def _ids(tally: Tally) -> Iterable[str]:
    return {sample.decision_id for some in tally.samples.values() for sample in some}


def _result(figures: dict[str, Any], samples: dict[str, Shown]) -> Result:
    return Result(figures | {"samples": {id: one.as_json() for id, one in sorted(samples.items())}}, samples)
