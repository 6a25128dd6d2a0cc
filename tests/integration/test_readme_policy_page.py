"""README's page about changing a rule, command by command as it stands there, on a site with database, S3 and API.

Only what the page leaves open is filled in: $BEA is a second person's token, $DECISION a photo's decision, and the
first proposal of the site is number 1. What a publish worker does is done by its code, in this process.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.factories import some_jpeg
from tests.integration.policy_site import Site, a_site
from tests.real import a_store
from worker.local import Endpoints
from worker.policy.engine import PolicyEngine
from worker.policy.scenes import Scene, SceneLine
from worker.storage.database import Database

pytestmark = pytest.mark.integration
REPOSITORY = Path(__file__).parents[2]
GOOGLE = "channels/google_merchant.yaml"


def commands(heading: str) -> list[str]:
    """The lines of the section's shell blocks, without their comments."""
    page = (REPOSITORY / "README.md").read_text()
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    lines = [line.split("  # ")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@dataclasses.dataclass
class Reader:
    """Somebody who does what the page says, in a folder with the repository's `worker` in it."""

    site: Site
    folder: Path
    environment: dict[str, str]
    picture: str

    def types(self, command: str) -> str:
        """What the command prints; it has to succeed."""
        found = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert found.returncode == 0, f"{command}\n{found.stdout}{found.stderr}"
        return found.stdout

    def sends(self, product: str, share: float | None = None) -> str:
        """A photo with text over so much of it; returns the verdict."""
        lines: list[str | SceneLine] = [] if share is None else [SceneLine(text="SUMMER COLLECTION", share=share)]
        scene = Scene(caption="a red sneaker on a white background", objects=["sneaker"], text=lines)
        photo = dataclasses.replace(scene.photo(), model_copy_key=self.picture)
        job = self.site.looked_at(
            photo, scene.seen(), product_id=product, title="Sneaker", channels=("google_merchant",)
        )
        return str(self.site.decision(job)["verdict"])

    def last_decision(self, product: str) -> str:
        (photo,) = self.site.record(product)["photos"]
        return str(photo["decision_id"])

    def waits_for_workers(self) -> None:
        """Until published photos were judged again."""
        upkeep = self.site.upkeep()
        for _ in range(200):
            assert upkeep.tick()
            if all(one["finished_at"] for one in self.site.ask("Ada", "policy", "redecide")["redecisions"]):
                return
        raise AssertionError("judging again does not end")


@pytest.fixture
def reader(database: Database, endpoints: Endpoints, tmp_path: Path) -> Iterator[Reader]:
    store = a_store(endpoints)
    (tmp_path / "worker").symlink_to(REPOSITORY / "worker")
    shell = tmp_path / "bin" / "shelfguard"
    shell.parent.mkdir()
    shell.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m worker.cli.main "$@"\n')
    shell.chmod(0o755)
    with a_site(database, tmp_path, shipped=PolicyEngine.load(), artifacts=store) as site:
        url = database.engine.url.render_as_string(hide_password=False)
        environment = (
            {name: value for name, value in os.environ.items() if not name.startswith("SHELFGUARD_")}
            | endpoints.environment()
            | {
                "PATH": f"{shell.parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(REPOSITORY),
                "COLUMNS": "200",
                "SHELFGUARD_DATABASE_URL": url,
                "SHELFGUARD_SECRET_KEY": "x" * 43 + "=",
                "SHELFGUARD_API_URL": site.address,
                "SHELFGUARD_API_TOKEN": site.tokens["Ada"],
                "BEA": site.tokens["Bea"],
            }
        )
        picture = store.put_blob("acme", some_jpeg(1200, 1200), "image/jpeg")
        yield Reader(site, tmp_path, environment, picture)


def copied(reader: Reader, printed: str) -> None:
    assert "line: 0.5 %" in (reader.folder / "my-rules" / GOOGLE).read_text()


def changed(reader: Reader, printed: str) -> None:
    assert "line: 0.4 %" in (reader.folder / "my-rules" / GOOGLE).read_text()


def checked(reader: Reader, printed: str) -> None:
    assert f"in order: {len(reader.site.shipped.rules)} rules" in printed


def rehearsed(reader: Reader, printed: str) -> None:
    assert re.search(r"[1-9]\d* passed, 0 failed", printed)


def differs(reader: Reader, printed: str) -> None:
    assert re.search(r"limits\s+- .*0\.5 %.*\s+\+ .*0\.4 %", printed)


def backtested(reader: Reader, printed: str) -> None:
    assert "3 photos, 3 decisions: 1 flip, on 1 photos the verdict as a whole" in printed
    assert "0.5 reviewer minutes added (1 photos for people before, 2 after" in printed
    page = reader.folder / "backtest" / "index.html"
    assert "google_<wbr>merchant.<wbr>text_<wbr>added" in page.read_text()
    assert list((page.parent / "pictures").glob("*.jpg"))
    assert "not stored any more" not in page.read_text()


def proposed(reader: Reader, printed: str) -> None:
    assert "is proposal 1; nothing has changed yet" in printed
    assert reader.sends("proposed", 0.0045) == "approve"


def approved(reader: Reader, printed: str) -> None:
    assert "is live for all without a policy of their own" in printed
    assert reader.sends("approved", 0.0045) == "review"
    reader.waits_for_workers()
    reader.environment["DECISION"] = reader.last_decision("poster")


def listed(reader: Reader, printed: str) -> None:
    (row,) = (line for line in printed.splitlines() if "Smaller text counts" in line)
    assert all(word in row for word in ("live", "Ada", "Bea"))


def judged_again(reader: Reader, printed: str) -> None:
    (row,) = (line for line in printed.splitlines() if "publish" in line)
    assert re.findall(r"[^\s│]+", row)[-5:] == ["4", "2", "0", "0", "done"]


def explained(reader: Reader, printed: str) -> None:
    assert re.search(r"google_merchant\.text_added version \d+ on google_merchant: review", printed)
    assert "same verdict, byte for byte" in printed


def rolled_back(reader: Reader, printed: str) -> None:
    assert "what is shipped is live" in printed
    assert reader.sends("rolled back", 0.0045) == "approve"


# What each command has to have done, by how it begins; in the page's order.
CHECKS: dict[str, Callable[[Reader, str], None]] = {
    "cp -r worker/policy/packs": copied,
    "sed -i.bak": changed,
    "shelfguard policy check": checked,
    "shelfguard policy test": rehearsed,
    "shelfguard policy diff": differs,
    "shelfguard policy backtest": backtested,
    "shelfguard policy publish": proposed,
    "SHELFGUARD_API_TOKEN=$BEA shelfguard policy approve 1": approved,
    "shelfguard policy list --versions": listed,
    "shelfguard policy redecide": judged_again,
    "shelfguard explain $DECISION": explained,
    "shelfguard policy rollback": rolled_back,
}


def test_the_page_about_changing_a_rule_does_what_it_says(reader: Reader) -> None:
    verdicts = {
        name: reader.sends(name, share) for name, share in (("plain", None), ("poster", 0.0045), ("banner", 0.02))
    }
    assert verdicts == {"plain": "approve", "poster": "approve", "banner": "review"}
    page = commands("Change a rule")
    assert [next((start for start in CHECKS if line.startswith(start)), line) for line in page] == list(CHECKS)
    for line, check in zip(page, CHECKS.values(), strict=True):
        check(reader, reader.types(line))
