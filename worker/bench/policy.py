"""What judging costs: `shelfguard bench policy`. Signals in memory, one core, nothing read or written.

Loading a policy, writing receipts and computing signals are reported apart from deciding. Peer first: the same rules
as one CEL program each, which is the usual way to run such rules.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from domain.moderation import CHANNELS, Decision, decide
from worker.bench import words
from worker.bench.listings import some_scenes
from worker.policy.engine import PolicyEngine
from worker.policy.loading import STARTER_PACK, LoadedPolicy, load_policy, scene_signals

RULES = 45  # what the target of 10,000 decisions a second is set for
AT = datetime(2026, 12, 1, 12, tzinfo=UTC)

Way = Callable[[dict[str, Any]], Any]
Progress = Callable[[str, int, int], None]


def measure(path: Path | None = None, *, photos: int = 400, rounds: int = 5, progress: Progress) -> dict[str, Any]:
    """Figures as plain data. The best of the rounds counts, in seconds of this process on one core.

    Raises PolicyInvalid when the policy at `path` (None: the shipped one) does not check.
    """
    started = time.perf_counter()
    loaded = load_policy(path)
    loading = time.perf_counter() - started
    scenes = some_scenes(photos)
    started = time.process_time()
    signals = [scene_signals(scene, loaded.lexicon) for scene in scenes]
    computing = time.process_time() - started
    engine = PolicyEngine(loaded)
    grown = loaded if len(loaded.rules) >= RULES else _grown(path or STARTER_PACK)
    ways: dict[str, Way] = {
        "one_program_each_per_second": lambda one: _decide_singly(loaded, one),
        "decisions_per_second": lambda one: _decide(loaded, one, ("own_shop",)),
        "decisions_per_second_all_channels": lambda one: _decide(loaded, one, CHANNELS),
        f"decisions_per_second_{RULES}_rules": lambda one: _decide(grown, one, ("own_shop",)),
        "with_receipt_per_second": lambda one: engine.judge(one, "acme", ("own_shop",), AT).as_json(),
    }
    figures: dict[str, Any] = {}
    for name, way in ways.items():
        figures[name] = round(
            photos / _best(way, signals, rounds, lambda: progress("decisions", rounds * len(ways), 1))
        )
    return {
        "policy": loaded.policy.id,
        "rules": len(loaded.policy.rules),
        "photos": photos,
        "loading_seconds": round(loading, 3),
        "signals_ms": round(computing / photos * 1e3, 3),
        **figures,
        "words": words.measure(known=sorted(loaded.lexicon.terms.known), photos=photos, progress=progress),
    }


def _decide(loaded: LoadedPolicy, signals: dict[str, Any], channels: Sequence[str]) -> Decision:
    return decide(loaded.policy, loaded.conditions.bind(signals), "acme", channels, AT)


def _decide_singly(loaded: LoadedPolicy, signals: dict[str, Any]) -> Decision:
    """Each rule as a program of its own, over variables that are made ready once."""
    bound = loaded.conditions.bind(signals, together=False)
    return decide(loaded.policy, bound, "acme", ("own_shop",), AT)


def _best(way: Way, signals: Sequence[dict[str, Any]], rounds: int, done: Callable[[], None]) -> float:
    """Seconds of this process for all signals."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for one in signals:
            way(one)
        best = min(best, time.process_time() - started)
        done()
    return best


def _grown(path: Path) -> LoadedPolicy:
    """The policy with its first file's rules repeated under other names until it has `RULES` rules, all live."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(path.parent, Path(scratch) / "policy")
        content = yaml.safe_load(path.read_text("utf-8"))
        rules = [one | {"mode": "live"} for one in content["rules"]]
        missing = RULES - len(load_policy(path).rules)
        again = itertools.islice(itertools.cycle(rules), missing)
        content["rules"] = rules + [one | {"id": f"{one['id']}_{number}"} for number, one in enumerate(again)]
        grown = folder / path.name
        grown.write_text(yaml.dump(content, Dumper=_Plain, allow_unicode=True), "utf-8")
        return load_policy(grown)


class _Plain(yaml.SafeDumper):
    """Without anchors and aliases, which policies may not have."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
