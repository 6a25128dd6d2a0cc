"""The Celery application: queues, serializer, acknowledgements.

The ledger is the truth and a message is only a wake-up, so most of what Celery offers against loss is not needed:
wake-ups are acknowledged early and carry nothing. The exception is `shelfguard.process_image`, which a shop may send
straight: it is acknowledged late, after the ledger's row is committed.
"""

from __future__ import annotations

from celery import Celery
from kombu.entity import Exchange, Queue

PROCESS_IMAGE = "shelfguard.process_image"
STAGES = ("intake", "vision", "publish", "deliver")
# Jobs sent by task name share the queue name that shops know; wake-ups have queues of their own, so that a flood of
# jobs cannot stand before a wake-up and a stock producer needs to know one name only.
JOB_QUEUE = "shelfguard.intake"
WAKE_QUEUES = {stage: f"shelfguard.wake.{stage}" for stage in STAGES}
SWEEP_QUEUE = "shelfguard.sweep"

VISIBILITY_TIMEOUT = 900  # seconds; longer than any acceptance, the only work that is acknowledged late


def make_app(redis_url: str, stage_limit_seconds: float = 150.0) -> Celery:
    app = Celery("shelfguard", broker=redis_url, set_as_current=False)
    app.conf.update(
        # JSON only: a message can never carry code.
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # Plain direct queues, declared here: they survive a broker that comes back empty, and an unknown name is an
        # error instead of a silently dropped message (celery/kombu#1404).
        task_queues=[
            Queue(name, Exchange(name, type="direct"), routing_key=name)
            for name in (JOB_QUEUE, *WAKE_QUEUES.values(), SWEEP_QUEUE)
        ],
        task_create_missing_queues=False,
        task_default_queue=SWEEP_QUEUE,
        task_routes={
            PROCESS_IMAGE: {"queue": JOB_QUEUE},
            "shelfguard.sweep": {"queue": SWEEP_QUEUE},
            **{f"shelfguard.{stage}": {"queue": queue} for stage, queue in WAKE_QUEUES.items()},
        },
        worker_prefetch_multiplier=1,
        # A computation that hangs in C ignores the soft limit and everything else but this.
        task_time_limit=stage_limit_seconds + 10,
        worker_proc_alive_timeout=180,  # seconds; importing torch and loading a large model on a busy machine
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_acquire_timeout=5,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # A publish to a dead broker fails within seconds: the row is committed, the sweeper will wake the stage.
            "max_retries": 1,
            "interval_start": 0,
            "interval_max": 0.5,
        },
        task_publish_retry=False,
        beat_schedule={"sweep": {"task": "shelfguard.sweep", "schedule": 5.0}},
        beat_max_loop_interval=5,
    )
    return app
