"""GuardedHttp against servers on loopback that behave, misbehave and lie."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from domain.errors import InputRejected, Unavailable
from worker.net import GuardedHttp

Handler = Callable[[str, socket.socket], None]
JPEG = b"\xff\xd8\xff photo"


class Server:
    """A TCP server whose handler gets the request's head and may answer with any bytes."""

    def __init__(self, handler: Handler) -> None:
        self.heads: list[str] = []
        self._handler = handler
        self._tls: ssl.SSLContext | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, path: str = "/a.jpg", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._tls = context

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.heads.append(head.decode("latin-1"))
            self._handler(self.heads[-1].split(" ")[1], connection)
            if self._tls is not None:
                connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], Server]]:
    servers: list[Server] = []

    def start(handler: Handler) -> Server:
        servers.append(Server(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def answer(status: int = 200, body: bytes = JPEG, **headers: str) -> Handler:
    """A plain answer; header names with underscores for dashes."""
    lines = {"content-type": "image/jpeg", "content-length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status} x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return lambda _, connection: connection.sendall(head.encode() + body)


def home(**options: object) -> GuardedHttp:
    return GuardedHttp(allow_private=True, **options)  # type: ignore[arg-type]


def refusal(http: GuardedHttp, url: str) -> str:
    with pytest.raises(InputRejected) as refused:
        http.get(url)
    assert len(refused.value.message) > 20
    return refused.value.code


def test_a_photo_is_downloaded_without_compression(serve: Callable[[Handler], Server]) -> None:
    server = serve(answer(content_type="IMAGE/JPEG; charset=x"))
    fetched = home().get(server.url("/ä.jpg?size=l"))
    assert (fetched.body, fetched.content_type) == (JPEG, "image/jpeg")
    assert fetched.final_url == server.url("/%C3%A4.jpg?size=l")
    assert "accept-encoding: identity" in server.heads[0].lower()
    assert f"host: 127.0.0.1:{server.port}" in server.heads[0].lower()


@pytest.mark.parametrize(
    ("status", "code"), [(404, "url_not_found"), (410, "url_not_found"), (401, "url_refused"), (403, "url_refused"),
                         (206, "url_refused"), (304, "url_refused"), (300, "url_refused")],
)  # fmt: skip
def test_what_will_not_get_better_is_rejected(serve: Callable[[Handler], Server], status: int, code: str) -> None:
    assert refusal(home(), serve(answer(status)).url()) == code


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_get_better_is_unavailable(serve: Callable[[Handler], Server], status: int) -> None:
    with pytest.raises(Unavailable, match=str(status)):
        home().get(serve(answer(status)).url())


def test_a_page_is_not_a_photo(serve: Callable[[Handler], Server]) -> None:
    assert refusal(home(), serve(answer(content_type="text/html; charset=utf-8")).url()) == "url_not_an_image"


@pytest.mark.parametrize("kind", ["application/octet-stream", "binary/octet-stream", ""])
def test_servers_that_do_not_know_the_type_are_trusted_to_the_decoder(
    serve: Callable[[Handler], Server], kind: str
) -> None:
    assert home().get(serve(answer(content_type=kind)).url()).body == JPEG


def test_redirects_are_followed_three_times(serve: Callable[[Handler], Server]) -> None:
    def hop(path: str, connection: socket.socket) -> None:
        left = int(path.strip("/"))
        (answer(302, b"", location=f"/{left - 1}") if left else answer())(path, connection)

    server = serve(hop)
    assert home().get(server.url("/3")).final_url == server.url("/0")
    assert refusal(home(), server.url("/4")) == "too_many_redirects"


def test_a_redirect_loop_ends(serve: Callable[[Handler], Server]) -> None:
    server = serve(answer(301, b"", location="/a.jpg"))
    assert refusal(home(), server.url()) == "too_many_redirects"
    assert len(server.heads) == 4


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "url_blocked"),
        ("file:///etc/passwd", "url_blocked"),
        ("http://user@127.0.0.1/", "url_blocked"),
        ("http://0x7f.1/", "url_blocked"),
        ("http://[::ffff:127.0.0.1]/", "url_blocked"),
    ],
)
def test_a_redirect_to_a_forbidden_place_is_refused(
    serve: Callable[[Handler], Server], location: str, code: str
) -> None:
    assert refusal(home(), serve(answer(302, b"", location=location)).url()) == code


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1", "100.64.0.1", "0.0.0.0"]
)
def test_a_name_for_a_private_address_is_refused_at_connect(address: str) -> None:
    guarded = GuardedHttp(resolver=lambda host, port: [address])
    assert refusal(guarded, "http://shop.example/a.jpg") == "url_blocked"


def test_one_private_answer_spoils_the_others() -> None:
    guarded = GuardedHttp(resolver=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    assert refusal(guarded, "https://shop.example/a.jpg") == "url_blocked"


def test_literal_private_addresses_are_refused(serve: Callable[[Handler], Server]) -> None:
    for url in ("http://127.0.0.1/", "http://[::1]/", "http://localhost/", "http://169.254.169.254/latest/"):
        assert refusal(GuardedHttp(), url) == "url_blocked"


def test_rebinding_cannot_happen_because_a_name_is_resolved_once(serve: Callable[[Handler], Server]) -> None:
    server = serve(answer())
    answers = itertools.chain([["127.0.0.1"]], itertools.repeat(["169.254.169.254"]))
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    rebound = home(resolver=resolve)
    assert rebound.get(server.url(host="shop.example")).body == JPEG
    assert asked == ["shop.example"]
    assert f"host: shop.example:{server.port}" in server.heads[0].lower()
    assert refusal(rebound, server.url(host="shop.example")) == "url_blocked"


def test_a_dead_first_address_leads_to_the_second(serve: Callable[[Handler], Server]) -> None:
    server = serve(answer())
    assert (
        home(resolver=lambda host, port: ["127.0.0.9", "127.0.0.1"]).get(server.url(host="shop.example")).body == JPEG
    )


def test_names_that_fail_are_unavailable() -> None:
    def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolver in (fails, lambda host, port: []):
        with pytest.raises(Unavailable):
            GuardedHttp(resolver=resolver).get("https://shop.example/a.jpg")


def test_a_name_server_that_hangs_ends_at_the_deadline() -> None:
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(Unavailable):
        GuardedHttp(timeout_s=0.2, resolver=lambda host, port: [str(release.wait(10))]).get("http://shop.example/")
    release.set()
    assert time.monotonic() - started < 5


def test_dripping_bytes_end_at_the_total_deadline(serve: Callable[[Handler], Server]) -> None:
    def drip(_: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.05)

    def drip_head(_: str, connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 200:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    for handler in (drip, drip_head):
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"0\.5 seconds"):
            home(timeout_s=0.5).get(serve(handler).url())
        assert time.monotonic() - started < 3


def test_an_endless_body_ends_at_the_cap(serve: Callable[[Handler], Server]) -> None:
    sent = 0

    def endless(_: str, connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
        while True:
            sent += connection.send(bytes(65_536))

    assert refusal(home(max_bytes=1_000_000), serve(endless).url()) == "too_large"
    assert sent < 50_000_000


def test_a_declared_size_over_the_cap_is_not_downloaded(serve: Callable[[Handler], Server]) -> None:
    assert refusal(home(max_bytes=100), serve(answer(content_length="101")).url()) == "too_large"


def test_a_body_shorter_than_declared_is_no_photo(serve: Callable[[Handler], Server]) -> None:
    with pytest.raises(Unavailable):
        home().get(serve(answer(content_length="500")).url())


def test_a_body_longer_than_declared_is_cut_where_it_said(serve: Callable[[Handler], Server]) -> None:
    assert home().get(serve(answer(content_length="3")).url()).body == JPEG[:3]


def test_compressed_bodies_are_refused_unopened(serve: Callable[[Handler], Server]) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert refusal(home(), serve(answer(body=bomb, content_encoding="gzip")).url()) == "url_refused"


@pytest.mark.parametrize("junk", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 200_000])
def test_what_is_not_http_is_unavailable(serve: Callable[[Handler], Server], junk: bytes) -> None:
    with pytest.raises(Unavailable):
        home().get(serve(lambda _, connection: connection.sendall(junk)).url())


def test_a_closed_port_is_unavailable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable):
        home().get(f"http://127.0.0.1:{port}/")


def test_posting_returns_any_status_and_follows_nothing(serve: Callable[[Handler], Server]) -> None:
    server = serve(answer(302, b"moved", location="http://127.0.0.1:1/", Retry_After="7"))
    status, headers = home().post(server.url("/hook"), b'{"a":1}', {"webhook-id": "msg_1", "Host": "evil"})
    assert (status, headers["retry-after"], headers["location"]) == (302, "7", "http://127.0.0.1:1/")
    head = server.heads[0].lower()
    assert head.startswith("post /hook ") and "webhook-id: msg_1" in head and "content-length: 7" in head
    assert "evil" not in head


def test_posting_to_a_private_address_is_refused() -> None:
    with pytest.raises(InputRejected) as refused:
        GuardedHttp(resolver=lambda host, port: ["10.0.0.1"]).post("https://shop.example/hook", b"", {})
    assert refused.value.code == "url_blocked"


def test_posting_to_a_chatty_server_ends(serve: Callable[[Handler], Server]) -> None:
    def chat(_: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65_536))

    assert home(timeout_s=5).post(serve(chat).url(), b"", {})[0] == 200


def certificate_for(name: str, folder: Path) -> Path:
    """A self-signed certificate and its key in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    return file


def test_tls_checks_the_name_although_a_number_is_dialled(serve: Callable[[Handler], Server], tmp_path: Path) -> None:
    pem = certificate_for("shop.example", tmp_path)
    secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secured.load_cert_chain(pem)
    names: list[str | None] = []
    secured.sni_callback = lambda connection, name, context: names.append(name)
    server = serve(answer())
    server.secure(secured)
    client = home(resolver=lambda host, port: ["127.0.0.1"])
    with pytest.raises(Unavailable, match="certificate"):
        client.get(f"https://shop.example:{server.port}/a.jpg")  # nobody vouches for it
    client.__dict__["_tls"] = ssl.create_default_context(cafile=str(pem))
    assert client.get(f"https://shop.example:{server.port}/a.jpg").body == JPEG
    with pytest.raises(Unavailable, match="certificate"):
        client.get(f"https://other.example:{server.port}/a.jpg")
    assert names == ["shop.example", "shop.example", "other.example"]


def test_proxies_of_the_environment_are_ignored(
    serve: Callable[[Handler], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert home().get(serve(answer()).url()).body == JPEG
