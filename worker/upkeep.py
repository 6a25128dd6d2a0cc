"""What policies need while photos come in: judging again, noticing that a rule's date has passed or its rate changed.

Runs in every publish worker, one at a time in the whole system. All state is in SQL, so that a killed process is taken
over by the next where it had arrived.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.errors import Unavailable
from domain.moderation import ALL_CHANNELS, Mode, Rule
from domain.policies import Alarm, scope_of
from worker.policy.live import PUBLISHED_POLICY, InForce, LivePolicies
from worker.redeciding import Outcome, RedecideTools, redecide
from worker.storage.match_rates import SETTLED, MatchRates, Watched
from worker.storage.redecisions import Redecision, SqlRedecisions
from worker.telemetry import log

EVERY_SECONDS = 1.0
SEAL_EVERY = timedelta(minutes=5)  # what is cut off the end of the audit log within this time shows nowhere


@dataclass(frozen=True, slots=True)
class Upkeep:
    """`per_second`: photos judged again at most, in the whole system.

    `kept_since`: when a version was first in force here, for what is shipped and was never published.
    """

    redecisions: SqlRedecisions
    live: LivePolicies
    tools: RedecideTools
    per_second: float
    kept_since: Callable[[str], datetime | None]
    rates: MatchRates
    sound: Callable[[Alarm], None]
    seal: Callable[[], object] = lambda: None  # keeps the audit log's head apart from it
    _noticed: set[str] = field(default_factory=set)
    _sealed: list[datetime] = field(default_factory=list)
    _counted: list[datetime] = field(default_factory=list)  # the end of the last hour that was counted

    def run(self, stop: threading.Event, every: float = EVERY_SECONDS) -> None:
        """Do what is due each `every` seconds until told to stop; an outage is logged and made up for after."""
        while not stop.wait(every):
            try:
                self.tick(every)
            except Unavailable as why:
                log.warning("upkeep_put_off", why=str(why))
            except Exception:
                log.exception("upkeep_failed")

    def start(self, every: float = EVERY_SECONDS) -> threading.Event:
        """Run in a daemon thread; set the returned event to stop it."""
        stop = threading.Event()
        threading.Thread(target=self.run, args=(stop, every), name="upkeep", daemon=True).start()
        return stop

    def tick(self, seconds: float = EVERY_SECONDS) -> bool:
        """One round; False when another process is at it. Raises Unavailable."""
        with self.redecisions.alone() as mine:
            if not mine:
                return False
            in_force = self.live.in_force()
            self._notice_dates(in_force, self.tools.clock.now())
            self._watch_rates(in_force, self.tools.clock.now())
            self._seal_log(self.tools.clock.now())
            if request := self.redecisions.next():
                self._judge_again(request, max(1, round(self.per_second * seconds)))
            return True

    def _notice_dates(self, in_force: list[InForce], now: datetime) -> None:
        """Ask for judging again once a date of a live rule has passed while its policy was in force."""
        for one in in_force:
            passed = _once_for_each_scope([(rule, moment) for rule, moment in _dates(one) if moment <= now])
            since = passed and (one.since or self.kept_since(one.engine.policy.version))
            for rule, moment in passed:
                if since and since < moment:
                    self._date_passed(one, rule, moment)

    def _date_passed(self, one: InForce, rule: Rule, moment: datetime) -> None:
        scope = scope_of(rule, one.tenant)
        if scope is None:
            return
        key = f"{one.tenant or '*'}/{one.engine.policy.version}/{rule.id}/{moment.isoformat()}"
        if key in self._noticed:
            return
        asked = self.redecisions.boundary_passed(key, scope, moment)
        self._noticed.add(key)
        if asked:
            log.info("rule_date_passed", rule=rule.id, tenant=one.tenant, moment=moment.isoformat())

    def _seal_log(self, now: datetime) -> None:
        if not self._sealed or now - self._sealed[0] >= SEAL_EVERY:
            self.seal()
            self._sealed[:] = [now]

    def _watch_rates(self, in_force: list[InForce], now: datetime) -> None:
        """Once an hour has ended: count it, and sound an alarm for rules that match unlike themselves."""
        if self._counted and now < max(self._counted) + timedelta(hours=1) + SETTLED:
            return
        until = self.rates.count(now)
        if until is None:
            self._counted[:] = [_hour(now - SETTLED)]
            return
        self._counted[:] = [until]
        for alarm in self.rates.unlike_themselves(_watched(in_force), until):
            log.error("rule_match_rate", rule=alarm.rule, tenant=alarm.tenant, **alarm.data)
            self.sound(alarm)

    def _judge_again(self, request: Redecision, most: int) -> None:
        found = self.redecisions.page(request, most)
        counts: Counter[str] = Counter(failed=found.unreadable)
        cursor = found.cursor
        for photo in found.photos:
            try:
                counts[redecide(photo, self.tools).value] += 1
            except Unavailable as why:
                # An outage ends the round, of which nothing is kept: what changed is committed, and judging it once
                # more changes nothing. One tenant's policy that does not load must not hold up the others.
                if why.what != PUBLISHED_POLICY:
                    raise
                counts["failed"] += 1
            except Exception:
                log.exception("redecide_failed", job=photo.job_id, decision=photo.decision_id)
                counts["failed"] += 1
        self.redecisions.advance(
            request,
            cursor,
            judged=len(found.photos),
            changed=counts[Outcome.CHANGED.value],
            kept=counts[Outcome.KEPT.value],
            failed=counts["failed"],
        )
        if cursor is None:
            log.info("redecision_finished", id=request.id, judged=request.judged + len(found.photos))


def _watched(in_force: list[InForce]) -> Iterator[Watched]:
    own = {one.tenant for one in in_force}
    for one in in_force:
        for rule in one.engine.policy.rules:
            if rule.mode is not Mode.DRAFT:
                channels = None if ALL_CHANNELS in rule.channels else rule.channels
                yield Watched(rule.id, rule.version, one.tenant, channels, own if one.tenant is None else set())


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _once_for_each_scope(dates: list[tuple[Rule, datetime]]) -> list[tuple[Rule, datetime]]:
    """One rule for all whose date passes at once for the same photos: a warning that ends as its block begins, say."""
    first = {(rule.tenants, rule.channels, moment): (rule, moment) for rule, moment in reversed(dates)}
    return list(first.values())


def _dates(one: InForce) -> Iterator[tuple[Rule, datetime]]:
    for rule in one.engine.policy.rules:
        if rule.mode is Mode.LIVE:
            yield from ((rule, moment) for moment in (rule.effective_from, rule.effective_to) if moment is not None)
