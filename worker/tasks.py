"""Celery tasks: shells that call a plain function and translate its outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.exceptions import Reject

from domain.errors import Conflict, InputRejected, NotFound, Unavailable
from worker import wiring
from worker.acceptance import accept
from worker.app import PROCESS_IMAGE
from worker.payload import read_payload
from worker.stages import run_deliver, run_intake, run_publish, run_vision
from worker.telemetry import log

# Seconds before a job that could not be accepted goes back to its queue, so that an outage is no hot loop.
_REQUEUE_PAUSE = 1.0


def register(app: Celery) -> None:
    """Define all tasks on `app`."""
    app.task(name=PROCESS_IMAGE, bind=True, acks_late=True, typing=False)(_process_image)
    for stage, step in _STEPS.items():
        app.task(name=f"shelfguard.{stage}")(_wake_up(step))


def _process_image(self: Any, *args: Any, **kwargs: Any) -> None:
    take_message(self.request.id, args, kwargs)


# Built when first run, in the pool's process: nothing of it exists in the parent.
_STEPS: dict[str, Callable[[], object]] = {
    "intake": lambda: run_intake(wiring.intake_tools(), wiring.pace(), wiring.wakeups().wake),
    "vision": lambda: run_vision(wiring.vision_tools(), wiring.vision_pace(), wiring.wakeups().wake),
    "publish": lambda: run_publish(wiring.publish_tools(), wiring.publish_pace(), wiring.wakeups().wake),
    "deliver": lambda: run_deliver(wiring.deliver_tools(), wiring.wakeups().wake),
    "sweep": lambda: wiring.sweeper().sweep(),
}


def take_message(task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Accept a job that came straight over the broker. Its task id is its idempotency key.

    Whatever cannot become a job is kept as a recorded rejection or a dead letter: nothing that was sent vanishes.
    """
    try:
        if args or set(kwargs) != {"job"}:
            raise InputRejected("malformed_job", "Send the job as the only keyword argument: kwargs={'job': {...}}.")
        payload = read_payload(kwargs["job"])
        accept(payload, payload.idempotency_key or task_id, wiring.accept_tools())
    except InputRejected as why:
        _keep_rejected(task_id, args, kwargs, why.code, why.message)
    except Conflict as why:
        _keep_rejected(task_id, args, kwargs, "idempotency_conflict", str(why))
    except NotFound as why:
        _keep_rejected(task_id, args, kwargs, "unknown_tenant", f"{why} Ask an admin to add it, then send again.")
    except Unavailable as why:
        _requeue(why)


def _keep_rejected(task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], code: str, message: str) -> None:
    text = json.dumps({"args": args, "kwargs": kwargs}, ensure_ascii=True, default=repr)
    try:
        wiring.dead_letters().keep(PROCESS_IMAGE, task_id, kwargs.get("job"), text, code, message)
    except Unavailable as why:
        _requeue(why)


def _requeue(why: Unavailable) -> None:
    log.warning("job_put_back", why=str(why))
    time.sleep(_REQUEUE_PAUSE)
    raise Reject(str(why), requeue=True)


def _wake_up(step: Callable[[], object]) -> Callable[[], None]:
    """A wake-up that meets an outage is dropped: the sweeper sends another. Nothing may stop the worker."""

    def run() -> None:
        try:
            step()
        except Unavailable as why:
            log.warning("stage_put_off", why=str(why))
        except Exception:
            log.exception("wake_up_failed")

    return run
