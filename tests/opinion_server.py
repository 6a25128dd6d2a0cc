"""A small server on loopback that speaks the chat-completions protocol, and misbehaves on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}


def a_completion(content: str | None, **changes: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body = {"id": "c-1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE}
    return json.dumps(body | changes).encode()


def an_answer(answer: str = "no", confidence: float = 0.9, reason: str = "A toy.", **more: Any) -> bytes:
    return a_completion(json.dumps({"answer": answer, "confidence": confidence, "reason": reason} | more))


def refusing() -> bytes:
    message = {"role": "assistant", "content": None, "refusal": "I can't help with that."}
    return a_completion(None, choices=[{"index": 0, "message": message, "finish_reason": "stop"}])


def cut_off() -> bytes:
    message = {"role": "assistant", "content": '{"answer": "no", "conf'}
    return a_completion(None, choices=[{"index": 0, "message": message, "finish_reason": "length"}])


@dataclass
class ChatServer:
    """Answers with `status`, `headers` and `body`; `hangs` until the server stops; `received` are the requests."""

    status: int = 200
    body: bytes = field(default_factory=an_answer)
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    at_least: int = 0  # requests that have to be there before any is answered
    url: str = ""
    received: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    together: threading.Condition = field(default_factory=threading.Condition)


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.together:
                server.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
                server.together.notify_all()
                server.together.wait_for(lambda: len(server.received) >= server.at_least, timeout=20)
            if server.hangs:
                server.ended.wait(30)
                return
            self.send_response(server.status)
            for name, value in ({"Content-Length": str(len(server.body))} | server.headers).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(server.body)
            except OSError:
                return  # whoever asked has heard enough

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler


@contextmanager
def serving(**behaviour: Any) -> Iterator[ChatServer]:
    chat = ChatServer(**behaviour)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(chat))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    chat.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield chat
    finally:
        chat.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
