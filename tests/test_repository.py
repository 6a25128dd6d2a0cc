"""Documentation that can fail: the README, the settings' example and the import rule, held against the code."""

from __future__ import annotations

import ast
import itertools
import re
import sys
from pathlib import Path

import pytest
import typer
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from domain.jobs import TERMINAL_STATES, TRANSITIONS, JobState
from worker import settings
from worker.app import JOB_QUEUE, PROCESS_IMAGE, STAGES
from worker.cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block_after(heading: str) -> str:
    """The first fenced block under a heading."""
    section = README.split(f"\n## {heading}\n", 1)[1]
    return section.split("```", 2)[1].split("\n", 1)[1]


def test_domain_imports_the_standard_library_only() -> None:
    foreign = {
        f"{file.name}: {name}"
        for file in (ROOT / "domain").rglob("*.py")
        for name in imported(file)
        if name != "domain" and name not in sys.stdlib_module_names
    }
    assert foreign == set()


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0] if node.level == 0 else "domain")
    return names


def test_the_flow_names_stages_functions_and_states_as_the_code_does() -> None:
    flow = block_after("The flow")
    assert f'"{PROCESS_IMAGE}"' in flow
    assert [line.split()[0] for line in flow.splitlines()[1:]] == list(STAGES)
    story = {
        node.name
        for node in ast.parse((ROOT / "worker/pipeline.py").read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    steps = {line.split()[0]: line.split()[1] for line in flow.splitlines()[1:4]}
    assert steps == {"intake": "take_in", "vision": "observe", "publish": "publish"}
    assert set(steps.values()) <= story
    ends = [line.split()[-1] for line in flow.splitlines()[:4]]
    assert ends == ["RECEIVED", "READY", "OBSERVED", "DONE"]
    for before, after in itertools.pairwise(ends):
        assert JobState(after) in TRANSITIONS[JobState(before)]
    for state in TERMINAL_STATES:
        assert state.value in README


def test_the_file_tree_is_the_file_tree() -> None:
    tree = block_after("Where things are")
    folder = ROOT
    shown: dict[Path, set[str]] = {}
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            path = ROOT / name.rstrip("/")
            folder = path
            shown.setdefault(ROOT, set()).add(path.name)
        else:
            path = folder / name.rstrip("/")
            shown.setdefault(folder, set()).add(path.name)
        assert path.exists(), f"README names {name}, which is not there"
        assert path.is_dir() == name.endswith("/"), name
        assert len(line.split(maxsplit=1)) == 2, f"{name} has no description"
    for top in (ROOT / "domain", ROOT / "worker"):
        real = {path.name for path in top.iterdir() if path.name not in ("__init__.py", "__pycache__")}
        assert shown[top] == real


def test_every_command_is_in_the_readme() -> None:
    table = README.split("\n## Commands\n", 1)[1].split("\n## ", 1)[0]
    command = typer.main.get_command(app)
    names = {name for name, sub in command.commands.items() if not sub.hidden}  # type: ignore[attr-defined]
    missing = {name for name in names if not re.search(rf"\b{name}\b", table)}
    assert missing == set()


def test_every_command_has_help() -> None:
    command = typer.main.get_command(app)
    runner = CliRunner()
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        answer = runner.invoke(app, [name, "--help"])
        assert answer.exit_code == 0, name
        assert sub.help, f"{name} does not say what it does"


def test_every_setting_is_in_the_example_with_its_reason() -> None:
    example = (ROOT / "deploy" / "env.example").read_text()
    for group in vars(settings).values():
        if isinstance(group, type) and issubclass(group, BaseSettings) and group is not BaseSettings:
            for name, field in group.model_fields.items():
                assert f"SHELFGUARD_{name.upper()}=" in example, name
                assert field.description, f"{name} has no reason"


def test_no_secret_has_a_default() -> None:
    for group in vars(settings).values():
        if isinstance(group, type) and issubclass(group, BaseSettings) and group is not BaseSettings:
            for name, field in group.model_fields.items():
                if re.search(r"key|token|password|secret|_url$", name) and not name.startswith("s3_endpoint"):
                    assert field.is_required() or field.default is None, name


def test_the_readme_enqueues_as_the_worker_listens() -> None:
    assert f'queue="{JOB_QUEUE}"' in README
    assert f'send_task("{PROCESS_IMAGE}"' in README


@pytest.mark.parametrize("target", ["demo", "test", "soak", "up", "down", "check", "help"])
def test_make_has_the_target_and_says_what_it_does(target: str) -> None:
    assert re.search(rf"^{target}:.*## \S", (ROOT / "Makefile").read_text(), re.MULTILINE)
