"""A private Azurite: the Blob service of Azure storage, with accounts of a test's own."""

import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storepipe_dagster.storage_account import EMULATOR, StorageAccount
from storepipe_dagster_tests.servers.certificates import Certificate
from storepipe_dagster_tests.servers.install import program
from storepipe_dagster_tests.servers.process import Server

# Azurite takes accounts only when it starts, in one variable of at most 128 KiB.
ACCOUNTS = 1200
NAMES = "*.blob.core.windows.net"
EMULATED = StorageAccount.from_connection_string(EMULATOR)


@dataclass(frozen=True)
class Account:
    """A storage account on an Azurite."""

    name: str
    endpoint: str
    key: str = field(repr=False)

    @property
    def connection_string(self) -> str:
        """As the portal shows it, but with the endpoint of this machine."""
        protocol = self.endpoint.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={protocol};AccountName={self.name};"
            f"AccountKey={self.key};BlobEndpoint={self.endpoint};"
        )


class Azurite(Server):
    """Azurite's Blob service.

    With a certificate it speaks HTTPS, and takes access tokens (see `access_token`) beside keys.
    It writes what it knows of its blobs every five seconds: a kill loses the last ones, which Azure
    would not; a stop loses nothing.
    """

    name = "azurite"

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.program = program("azurite-blob")
        super().__init__()
        self.certificate = certificate
        self._keys = {f"account{number:04}": _random_key() for number in range(ACCOUNTS)}
        self._taken = self.folder / "taken"
        self._taken.mkdir()

    @property
    def connection_string(self) -> str:
        """The emulator's own account, which all users of this server share."""
        return self._account(EMULATED.name, EMULATED.key).connection_string

    def new_account(self, *, port: int | None = None) -> Account:
        """An account that nobody used before; `port` leads through a proxy."""
        for name, key in self._keys.items():
            with contextlib.suppress(FileExistsError):  # by this process or by another
                (self._taken / name).touch(exist_ok=False)
                return self._account(name, key, port)
        raise RuntimeError(f"all {ACCOUNTS} accounts are used: raise ACCOUNTS")

    def _account(self, name: str, key: str, port: int | None = None) -> Account:
        protocol = "https" if self.certificate else "http"
        return Account(name, f"{protocol}://127.0.0.1:{port or self.port}/{name}", key)

    def command(self) -> Sequence[str | Path]:
        files = self.certificate
        https = (
            ["--cert", files.certificate, "--key", files.key, "--oauth", "basic"] if files else []
        )
        return [
            self.program,
            *("--blobPort", str(self.port)),
            *("--location", self.folder / "data"),
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--silent",
            *https,
        ]

    def environment(self) -> Mapping[str, str]:
        accounts = {EMULATED.name: EMULATED.key, **self._keys}
        listed = ";".join(f"{name}:{key}" for name, key in accounts.items())
        return {**super().environment(), "AZURITE_ACCOUNTS": listed}

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def access_token(*, seconds: float = 3600) -> str:
    """What Azure's login would give; Azurite looks at its times, issuer and audience only."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + int(seconds),
    }
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(part.rstrip("=") for part in encoded), "bm90LXNpZ25lZA"])


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
