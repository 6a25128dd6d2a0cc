"""The HTTP API. `create_app(tools)` makes it; nothing in here reads settings."""

from worker.web.app import create_app
from worker.web.tools import WebTools

__all__ = ["WebTools", "create_app"]
