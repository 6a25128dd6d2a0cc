"""Commands an operator runs: workers, migrations, the API server, the doctor, dead letters."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer

from domain.errors import CheckpointRefused, ExtraMissing, PolicyInvalid

worker_app = typer.Typer(help="Run one kind of worker until it is told to stop (SIGTERM finishes the batch in hand).")


class Stage(StrEnum):
    INTAKE = "intake"
    VISION = "vision"
    PUBLISH = "publish"
    DELIVER = "deliver"


Concurrency = Annotated[int, typer.Option("--concurrency", "-c", min=1, help="Processes of this worker.")]


@worker_app.command("intake")
def intake(concurrency: Concurrency = 2) -> None:
    """Fetch, decode in the sandbox, keep. CPU."""
    _run_worker(Stage.INTAKE, concurrency)


@worker_app.command("vision")
def vision(concurrency: Concurrency = 1) -> None:
    """Look with Florence-2. One process for each GPU; on a CPU one process with all cores."""
    _run_worker(Stage.VISION, concurrency)


@worker_app.command("publish")
def publish(concurrency: Concurrency = 1) -> None:
    """Enrich, decide, write records; the sweeper runs here too."""
    _run_worker(Stage.PUBLISH, concurrency)


@worker_app.command("deliver")
def deliver(concurrency: Concurrency = 1) -> None:
    """Send signed webhooks."""
    _run_worker(Stage.DELIVER, concurrency)


@worker_app.command("beat")
def beat() -> None:
    """Send the periodic wake-ups (the sweeper's). Run one; a second does no harm."""
    from worker import wiring

    _configure("beat")
    # No schedule file: nothing that beat knows is worth keeping across a restart.
    wiring.celery_app().Beat(scheduler="celery.beat:Scheduler", loglevel="WARNING", quiet=True).run()


def _run_worker(stage: Stage, concurrency: int) -> None:
    from celery.signals import worker_process_init, worker_ready

    from worker import tasks, wiring
    from worker.app import JOB_QUEUE, SWEEP_QUEUE, WAKE_QUEUES

    _configure(stage.value)
    wiring.servers()  # a missing setting is an error here, in one sentence, not in every child
    wiring.ledger_settings()
    if stage is Stage.VISION:
        wiring.check_text_reader()
    app = wiring.celery_app()
    tasks.register(app)
    worker_process_init.connect(lambda **_: _start_child(stage), weak=False)
    extra = {Stage.INTAKE: [JOB_QUEUE], Stage.PUBLISH: [SWEEP_QUEUE]}
    queues = [WAKE_QUEUES[stage.value], *extra.get(stage, [])]
    worker_ready.connect(lambda **_: _guard(queues), weak=False)
    app.worker_main(
        [
            "worker",
            "--pool=prefork",
            f"--concurrency={concurrency}",
            f"--queues={','.join(queues)}",
            f"--hostname={stage.value}-{os.getpid()}@%h",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


def _guard(queues: list[str]) -> None:
    """In the worker's main process: end it when its consumer has gone deaf; its supervisor starts another."""
    from celery.worker import state

    from worker import wiring
    from worker.stall_guard import StallGuard

    def waiting(names: Sequence[str]) -> int:
        return sum(wiring.wakeups().lengths(names).values())

    def busy() -> bool:
        # Reserved: received, and waiting for a pool process that may still be loading the model.
        return bool(state.active_requests or state.reserved_requests)

    StallGuard(queues, waiting, busy, end=_end_worker).start()


def _end_worker() -> None:
    """End the pool's processes and this one at once: a deaf consumer may not hear a request to stop either."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(70)  # EX_SOFTWARE


def _start_child(stage: Stage) -> None:
    """In a pool process, right after the fork: build what this stage needs, so that the first job does not wait."""
    from worker import wiring
    from worker.telemetry import log

    wiring.forget()
    try:
        if stage is Stage.VISION:
            wiring.vision_tools()
        elif stage is Stage.PUBLISH:
            wiring.publish_tools()
            wiring.sweeper().start(wiring.ledger_settings().sweep_seconds)
            wiring.upkeep().start()
    except (CheckpointRefused, ExtraMissing, PolicyInvalid) as refused:
        # A pool would start children for ever. Nothing but a person can mend this, so the whole worker ends.
        log.error("worker_cannot_start", why=str(refused))
        os.kill(os.getppid(), signal.SIGTERM)


def _configure(process: str) -> None:
    from worker.settings import LogSettings
    from worker.telemetry import configure_logging

    configure_logging(LogSettings().log_level, process=process)


def migrate(
    revision: Annotated[str, typer.Option(help="Revision to go to; head = the newest.")] = "head",
) -> None:
    """Bring the database's schema up to date. Safe while workers run, and safe to run again."""
    from worker import wiring
    from worker.storage import schema

    url = wiring.servers().database_url.get_secret_value()
    schema.migrate(url, revision)
    typer.echo(f"The schema is at revision {schema.current_and_head(url)[0]}.", err=True)


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default SHELFGUARD_API_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default SHELFGUARD_API_PORT.")] = None,
) -> None:
    """Serve the HTTP API until told to stop."""
    import uvicorn

    from worker.cli.serving import web_tools
    from worker.settings import ApiSettings, PeopleSettings
    from worker.web import create_app

    _configure("api")
    chosen = ApiSettings()
    listening = host or chosen.api_host
    proxies = PeopleSettings().trusted_proxies
    uvicorn.run(
        create_app(web_tools(chosen.max_body_bytes, loopback=listening in ("127.0.0.1", "::1", "localhost"))),
        host=listening,
        port=chosen.api_port if port is None else port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
    )


def deadletters(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 100,
) -> None:
    """List messages that could not become jobs, with the reason."""
    from worker import wiring

    rows = wiring.dead_letters().list(limit)
    if as_json:
        typer.echo(json.dumps({"dead_letters": rows}))
        return
    for row in rows:
        typer.echo(f"{row['created_at']}  {row['code']}: {row['message']}")
        typer.echo(f"    {row['payload'][:200]}")
    if not rows:
        typer.echo("No dead letters.")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check settings, servers, schema, weights and policy, and say what to fix. Exit 1 when something is wrong."""
    from worker.cli.checks import run_checks

    results = run_checks()
    if as_json:
        typer.echo(json.dumps({"checks": [result.as_json() for result in results]}))
    else:
        for result in results:
            typer.echo(f"{'ok  ' if result.ok else 'FIX '} {result.name}: {result.detail}")
            if not result.ok:
                typer.echo(f"     → {result.remedy}")
    raise typer.Exit(0 if all(result.ok for result in results) else 1)
