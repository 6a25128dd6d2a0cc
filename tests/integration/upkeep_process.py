"""A process that judges again until it is killed: python -m tests.integration.upkeep_process DATABASE_URL.

Prints a line for each record that it is about to write, inside the transaction that writes it.
"""

from __future__ import annotations

import sys
import threading
import time

from tests.fakes_artifacts import MemoryArtifacts
from tests.integration.policy_site import SHIPPED
from worker.policy.live import LivePolicies
from worker.redeciding import RedecideTools
from worker.storage.alarms import Alarms
from worker.storage.caps import SqlDailyCaps
from worker.storage.database import Database
from worker.storage.match_rates import MatchRates
from worker.storage.policies import SqlPolicies
from worker.storage.redecisions import SqlRedecisions
from worker.upkeep import Upkeep
from worker.wiring import SystemClock


class SlowArtifacts(MemoryArtifacts):
    def put_record(self, tenant: str, product_id: str, revision: int, data: bytes) -> str:
        print(f"writing {product_id}", flush=True)
        time.sleep(0.2)
        return super().put_record(tenant, product_id, revision, data)


def main(url: str) -> None:
    database = Database(url)
    store, redecisions, alarms = SqlPolicies(database), SqlRedecisions(database), Alarms(database)
    live = LivePolicies(store, SHIPPED, SqlDailyCaps(database), alarms.sound)
    tools = RedecideTools(redecisions, SlowArtifacts(), live, SystemClock())
    upkeep = Upkeep(redecisions, live, tools, 4.0, store.kept_since, MatchRates(database), alarms.sound)
    upkeep.run(threading.Event(), every=0.1)


if __name__ == "__main__":
    main(sys.argv[1])
