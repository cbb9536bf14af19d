"""Spark of the clusters: a Sail server, which alone can open the lake."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from storepipe_dagster_tests.servers.process import Server


class Sail(Server):
    """Sail, run by the runtime's own Python, with the variables by which it opens the lake."""

    name = "sail"

    def __init__(self, python: Path, storage: Mapping[str, str]) -> None:
        super().__init__()
        self.python = python
        self.storage = storage

    def command(self) -> Sequence[str | Path]:
        serve = ("spark", "server", "--ip", "127.0.0.1", "--port", str(self.port))
        return [self.python, self.python.with_name("sail"), *serve]

    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "RUST_LOG": "warn",
            **self.storage,
        }

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
