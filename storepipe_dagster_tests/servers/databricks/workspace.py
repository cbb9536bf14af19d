"""The workspace: what a test holds of it, and the web server that answers for it.

with Workspace(storage) as workspace:
    client = WorkspaceClient(host=workspace.host, token=workspace.token)
"""

import asyncio
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from storepipe_dagster_tests.servers.databricks import clusters, volumes
from storepipe_dagster_tests.servers.databricks.api import make_application
from storepipe_dagster_tests.servers.databricks.environments import runtime_environment
from storepipe_dagster_tests.servers.databricks.lifecycle import Life
from storepipe_dagster_tests.servers.databricks.runs import Ending, Run
from storepipe_dagster_tests.servers.databricks.spark import Sail

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.dbfs import Upload

STOP_SECONDS = 10
START_SECONDS = 10
KEEP_ALIVE_SECONDS = 120  # longer than clients pause between two questions


@dataclass(frozen=True)
class Call:
    """A request that was answered."""

    method: str
    path: str
    status: int
    time: float
    run_id: int | None


class Workspace:
    """Use it in a `with` block, which serves it, and ends all that it started at the end.

    `storage` are the variables by which the clusters' Spark, and nothing else, opens the lake.
    """

    def __init__(self, storage: Mapping[str, str], *, start_seconds: float = 0.1) -> None:
        self.storage = storage
        self.start_seconds = start_seconds
        self.cancel_seconds = 0.0  # for which a cancelled run goes on
        self.workspace_id = 1_000_000_000_000_000 + secrets.randbelow(10**15)
        self.token = f"dapi{secrets.token_hex(16)}"
        self.client_id = "7c1f2f0a-93b5-4a53-8f6e-5d8a3f0f1d11"
        self.client_secret = f"dose{secrets.token_hex(16)}"
        self.cluster_id = self.new_cluster_id()
        self.cluster: dict[str, Any] = {}  # what is other than usual with the one of that id
        self.secrets: dict[tuple[str, str], str] = {}
        self.closed_scopes: set[str] = set()  # whose secrets we may not list
        self.cluster_environment: dict[str, str] = {}
        self.dbfs_enabled = True
        self.calls: list[Call] = []
        self.runs: dict[int, Run] = {}
        self.scripted: list[Ending] = []

        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.access_tokens: dict[str, float] = {}  # and until when they are good
        self.uploads: dict[int, Upload] = {}
        self.submitted: dict[str, int] = {}
        self.permissions: dict[tuple[str, str], list[dict[str, str]]] = {}
        self._lives: list[threading.Thread] = []
        self._spark: Sail | None = None
        self._cut_until = 0.0

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="storepipe-databricks-"))
        for name in ("dbfs", "incoming"):
            (self.folder / name).mkdir()
        for volume in volumes.VOLUMES:
            (self.folder / volume[1:]).mkdir(parents=True)
        try:
            self._serve()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(STOP_SECONDS)
        self.closed.set()
        for run in self.runs.values():
            run.cancelled.set()
        for life in self._lives:
            life.join()
        if self._spark:
            self._spark.__exit__()
        shutil.rmtree(self.folder)

    @property
    def launches(self) -> int:
        """How many runs were submitted."""
        return len(self.runs)

    def outage(self, seconds: float) -> None:
        """From now on and for so long every connection is cut, those in use too."""
        self._cut_until = time.monotonic() + seconds
        cut = threading.Event()

        def cut_all() -> None:
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            cut.set()

        self._loop.call_soon_threadsafe(cut_all)
        cut.wait()

    def local_dbfs(self, path: str) -> Path:
        """Where the file of a normalised DBFS path is."""
        return self.folder / "dbfs" / path.lstrip("/")

    def replace(self, local: Path, data: bytes) -> None:
        """Write a file so that nobody sees a half of it."""
        new = self.folder / "incoming" / secrets.token_hex(8)
        new.write_bytes(data)
        new.rename(local)

    def find_cluster(self, cluster_id: str) -> dict[str, Any] | None:
        if cluster_id == self.cluster_id:
            return clusters.existing(self)
        for run in self.runs.values():
            if run.cluster_id == cluster_id:
                return clusters.of_run(run)
        return None

    def new_cluster_id(self) -> str:
        return time.strftime("%m%d-%H%M%S-") + secrets.token_hex(4)

    def live(self, run: Run) -> None:
        """Let a submitted run begin."""
        life = threading.Thread(target=Life(self, run), name=f"run-{run.run_id}", daemon=True)
        self._lives.append(life)
        life.start()

    def spark_address(self) -> str:
        """Where the clusters' Spark is, which the first to ask starts."""
        with self.lock:
            if self._spark is None:
                self._spark = Sail(runtime_environment().python, self.storage).__enter__()
            elif not self._spark.running:
                self._spark.start()
            return f"sc://127.0.0.1:{self._spark.port}"

    def _serve(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        workspace = self

        class Protocol(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                if time.monotonic() < workspace._cut_until:
                    transport.abort()

        self._server = uvicorn.Server(
            uvicorn.Config(
                make_application(self, lambda **call: self.calls.append(Call(**call))),
                http=Protocol,
                lifespan="off",
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                log_config=None,
                log_level="critical",
            )
        )

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[listener])

        self._thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the workspace's web server did not start")
            time.sleep(0.005)
