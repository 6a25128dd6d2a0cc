"""The `shelfguard` command: one sub-command for each thing a person does. `--help` of each is complete.

Heavy imports stay inside the commands, so that `shelfguard --help` answers at once.
"""

from __future__ import annotations

import sys

import typer

from domain.errors import ShelfguardError
from worker.cli import (
    accounts,
    analyze,
    audit,
    backtest,
    bank,
    bench,
    explain,
    jobs,
    model,
    operate,
    people,
    policy,
    system,
    taxonomy,
)
from worker.telemetry import configure_logging

app = typer.Typer(
    name="shelfguard",
    help="Looks at every product photo once: describes it, judges it, writes an enriched product record.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("analyze")(analyze.analyze)
app.command("submit")(jobs.submit)
app.command("job")(jobs.job)
app.command("explain")(explain.explain)
app.command("up")(system.up)
app.command("down")(system.down)
app.command("demo")(system.demo)
app.command("serve", hidden=True)(system.serve)
app.command("migrate")(operate.migrate)
app.command("doctor")(operate.doctor)
app.command("api")(operate.api)
app.command("deadletters")(operate.deadletters)
app.add_typer(operate.worker_app, name="worker")
app.add_typer(accounts.tenant_app, name="tenant")
app.add_typer(accounts.token_app, name="token")
app.add_typer(accounts.webhook_app, name="webhook")
policy.policy_app.command("backtest")(backtest.backtest)
policy.policy_app.command("shadow")(backtest.shadow)
app.add_typer(people.person_app, name="person")
app.add_typer(audit.audit_app, name="audit")
app.add_typer(policy.policy_app, name="policy")
app.add_typer(bank.bank_app, name="bank")
app.add_typer(taxonomy.taxonomy_app, name="taxonomy")
app.add_typer(model.model_app, name="model")
app.add_typer(bench.bench_app, name="bench")


def main() -> None:
    """Run a command; an error that Shelfguard raises on purpose is one sentence and exit code 1."""
    # Standard output is for answers; a service's own command sets its level and name again.
    configure_logging("WARNING", process="cli")
    try:
        app()
    except ShelfguardError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
