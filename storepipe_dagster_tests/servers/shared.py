"""One server of a kind for the whole run of pytest, for all of its workers.

The process that the run began in starts each server when a test first wants it, and ends it with
the run: a worker may crash. A worker asks for a server through a socket and gets a copy of it.
"""

import contextlib
import os
import pickle
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, ClassVar

from storepipe_dagster_tests.servers.azurite import NAMES, Azurite
from storepipe_dagster_tests.servers.certificates import Authority
from storepipe_dagster_tests.servers.mariadb import MariaDb
from storepipe_dagster_tests.servers.mysql import MySql
from storepipe_dagster_tests.servers.postgres import Postgres
from storepipe_dagster_tests.servers.process import Server


class SharedServers:
    """Starts servers, each once, and gives copies of them; a `with` block ends them."""

    kinds: ClassVar[Mapping[str, Callable[[Authority], Server]]] = {
        "azurite": lambda _: Azurite(),
        "secure_azurite": lambda authority: Azurite(authority.issue("127.0.0.1", NAMES)),
        "mariadb": lambda authority: MariaDb(authority.issue()),
        "mysql": lambda authority: MySql(authority.issue()),
        "postgres": lambda _: Postgres(),
    }

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="storepipe-shared-"))
        self.key = os.urandom(32)
        self.authority = Authority(self.folder)
        self._running = contextlib.ExitStack()
        self._servers: dict[str, Server] = {}
        self._locks = {kind: threading.Lock() for kind in self.kinds}
        self._listener = Listener(str(self.folder / "socket"), "AF_UNIX", authkey=self.key)
        threading.Thread(target=self._accept, name="shared-servers", daemon=True).start()

    @property
    def address(self) -> tuple[str, bytes]:
        """What a worker needs to ask; see `ask`."""
        return str(self._listener.address), self.key

    def get(self, what: str) -> Any:
        """A copy of the authority or of a server, which is started when it is not yet."""
        if what == "authority":
            return pickle.loads(pickle.dumps(self.authority))
        with self._locks[what]:
            if what not in self._servers:
                server = self.kinds[what](self.authority)
                self._servers[what] = self._running.enter_context(server)
        return pickle.loads(pickle.dumps(self._servers[what]))

    def close(self) -> None:
        """End the servers and remove what they leave."""
        self._listener.close()
        self._running.close()
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Any) -> None:
        with connection:
            try:
                answer = self.get(connection.recv())
            except Exception as error:  # noqa: BLE001 - the test that asks gets it
                answer = error
            connection.send(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def ask(address: tuple[str, bytes], what: str) -> Any:
    """What `SharedServers.get` gives, from another process; raises what it raises."""
    path, key = address
    with Client(path, "AF_UNIX", authkey=key) as connection:
        connection.send(what)
        answer = connection.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer
