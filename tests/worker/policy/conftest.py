"""Policies written to a temporary directory from a few lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from worker.policy.engine import PolicyEngine

WritePolicy = Callable[..., Path]

HEAD = "policy: test\nrules:\n"
RULE = """
  - id: {id}
    version: 1
    policy_code: TEST-CODE
    severity: 4
    action: reject
    mode: live
    message: Use another photo.
    causes: {causes}
    tests:
      - given: {{objects: [knife]}}
        expect: match
      - given: {{objects: [], caption: ""}}
        expect: no_match
"""


def a_rule(id: str = "some.rule", causes: str = "objects", **changes: str) -> str:
    """One rule as YAML. A change replaces the field's line, or adds one."""
    lines = RULE.format(id=id, causes=causes).rstrip().split("\n")
    for name, value in changes.items():
        found = [index for index, line in enumerate(lines) if line.startswith(f"    {name}:")]
        if found:
            lines[found[0]] = f"    {name}: {value}"
        else:
            lines.insert(3, f"    {name}: {value}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def write(tmp_path: Path) -> WritePolicy:
    """Write `policy.yaml` and further files; give back the policy's path."""

    def write_files(policy: str, files: dict[str, str | bytes] | None = None) -> Path:
        for name, content in ({"policy.yaml": policy} | (files or {})).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "policy.yaml"

    return write_files


@pytest.fixture(scope="session")
def starter() -> PolicyEngine:
    return PolicyEngine.load()
