"""`shelfguard person`: who may log in to the pages. Works on the database, of this site or of the local system.

A password is asked on the terminal or read from standard input, never from the command line, where others can read it.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from getpass import getpass
from typing import Annotated

import typer

from domain.audit import SYSTEM
from domain.errors import InputRejected
from worker.cli.client import read_up
from worker.settings import ClientSettings
from worker.storage.people import People, PersonAccount

person_app = typer.Typer(help="People who log in to the pages.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Who = Annotated[str, typer.Argument(help="Login (e-mail address) or id.")]


class PersonRole(StrEnum):
    REVIEWER = "reviewer"
    LEAD = "lead"
    ML = "ml"
    ADMIN = "admin"


@person_app.command("add")
def add(
    login: Annotated[str, typer.Argument(help="E-mail address.")],
    name: Annotated[str, typer.Option(help="As others read it.")],
    role: Annotated[PersonRole, typer.Option(help="What they may do.")],
    tenant: Annotated[list[str] | None, typer.Option(help="Whose photos they see; again for more; none = all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a person, who cannot log in yet: go on with `person password`."""
    made = _people().add(login, name, role.value, tenant or None, SYSTEM)
    _tell(
        made,
        f"{made.login} is added. They choose a password: shelfguard person password --invite {made.login}",
        as_json,
    )


@person_app.command("list")
def list_people(as_json: AsJson = False) -> None:
    """List everybody."""
    found = _people().list()
    if as_json:
        typer.echo(json.dumps({"persons": [one.as_json() for one in found]}))
        return
    for one in found:
        state = "disabled" if one.disabled_at else "" if one.has_password else "no password yet"
        whose = "all" if one.tenants is None else ",".join(one.tenants)
        typer.echo("  ".join(filter(None, (one.login, one.name, one.role.value, whose, state))))
    if not found:
        typer.echo("Nobody yet: shelfguard person add.", err=True)


@person_app.command("disable")
def disable(who: Who, as_json: AsJson = False) -> None:
    """End their sessions and tokens, and let them in no more. What they did stays."""
    made = _people().disable(who, SYSTEM)
    _tell(made, f"{made.login} is disabled.", as_json)


@person_app.command("enable")
def enable(who: Who, as_json: AsJson = False) -> None:
    """Let a disabled person in again."""
    made = _people().enable(who, SYSTEM)
    _tell(made, f"{made.login} is enabled.", as_json)


@person_app.command("role")
def role(
    who: Who, role: Annotated[PersonRole, typer.Argument(help="What they may do from now on.")], as_json: AsJson = False
) -> None:
    """Change what somebody may do, at once."""
    made = _people().set_role(who, role.value, SYSTEM)
    _tell(made, f"{made.login} is {made.role.value} now.", as_json)


@person_app.command("password")
def password(
    who: Who,
    invite: Annotated[bool, typer.Option("--invite", help="Print a link, good once, for them to choose it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set a password, asked here or read from standard input, and end their sessions; or make an invitation."""
    known = _people()
    if invite:
        path = f"/invitation/{known.invite(who, SYSTEM)}"
        typer.echo(json.dumps({"path": path}) if as_json else path)
        if not as_json:
            typer.echo("Put your site's address before it. It is good once, for three days.", err=True)
        return
    made = known.set_password(who, _ask(), SYSTEM)
    _tell(made, f"{made.login} has a new password.", as_json)


def _ask() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass("New password: ")
    if first != getpass("Once more: "):
        raise InputRejected("bad_password", "password: you typed two different ones; nothing was changed.")
    return first


def _people() -> People:
    """Of this site, else of the local system. Raises ShelfguardError where there is neither."""
    from worker import wiring
    from worker.storage.database import Database

    if "SHELFGUARD_DATABASE_URL" in os.environ:
        return wiring.people()
    return People(Database(read_up(ClientSettings().state_dir)["database"]), wiring.passwords())


def _tell(person: PersonAccount, words: str, as_json: bool) -> None:
    typer.echo(json.dumps(person.as_json()) if as_json else words)
