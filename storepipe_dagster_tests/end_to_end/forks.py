"""Commands as processes that need not load anything: forks of a process that has.

A command imports for three seconds before it does its work. Here one process per worker imports
the libraries, and those of our modules that read no setting but the first day, and forks for each
command. A command is a process as ever, with an environment, outputs, signals and an exit code of
its own, and ends as an interpreter does.

`python -m storepipe_dagster_tests.end_to_end.forks FD` is that process; it ends when the socket FD
closes.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import tenacity

LOADED = [
    "adlfs",
    "azure.identity",
    "dagster_pyspark",
    "deltalake",
    "duckdb",
    "pyarrow.dataset",
    "pymysql",
    "pyspark.sql.connect.session",
    "rich.progress",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.sqlite",
    "vl_convert",
    "storepipe_dagster.cli",
    "storepipe_dagster.graph",
    "storepipe_dagster.instance",
    "storepipe_dagster.layers.refined.report.page",
    "storepipe_dagster.resources.deployments",
    "storepipe_dagster.schedules",
    "storepipe_dagster.sensors",
    "storepipe_dagster.turns",
]
FIRST_DAY = "STOREPIPE_START_DATE"  # read when the graph is imported
# Set to 1 in the environment of a command that waits before it asks a store again, it waits a
# hundredth of that. How long it does is tested with the store's client.
QUICK_WAITS = "STOREPIPE_TESTS_QUICK_WAITS"
REPOSITORY = Path(__file__).parents[2]
REQUEST_BYTES = 1 << 20


class Command:
    """A command that runs, or has run: what `subprocess.Popen` of text is to a process."""

    def __init__(self, arguments: Sequence[str], outputs: Sequence[int], end: socket.socket):
        self.args = arguments
        self.stdout, self.stderr = (os.fdopen(output, encoding="utf-8") for output in outputs)
        self.returncode: int | None = None
        self._end = end
        self.pid = int(self._told())

    def _told(self) -> bytes:
        """What the process that forks tells next: the command's number, then its exit code."""
        told = self._end.recv(32)
        assert told, "the process that forks is gone"
        return told

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one; minus the signal that ended it."""
        if self.returncode is None:
            self._end.settimeout(timeout)
            try:
                self.returncode = int(self._told())
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout) from None
            self._end.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it still prints; it is killed when that takes too long."""
        with ThreadPoolExecutor(2) as readers:
            texts = [readers.submit(output.read) for output in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return texts[0].result(), texts[1].result()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it was seen to end."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


@cache
def forking(library: str | None) -> socket.socket:
    """The socket of this worker's process that forks; a library may be preloaded into it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    preload = {} if library is None else {"LD_PRELOAD": library}
    with its:
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPOSITORY), **preload},
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
    return ours


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
    """Start a command with an environment of its own."""
    request = json.dumps([arguments, dict(environment), str(Path.cwd())]).encode()
    assert len(request) < REQUEST_BYTES
    assert FIRST_DAY not in environment, "start it as a process that imports the graph itself"
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    end, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control = forking(environment.get("LD_PRELOAD"))
    socket.send_fds(control, [request], [out_end, err_end, its_end.fileno()])
    os.close(out_end)
    os.close(err_end)
    its_end.close()
    return Command(arguments, (out, err), end)


# --- the process that forks -------------------------------------------------------------------


def serve(control: socket.socket) -> Sequence[str] | None:
    """Fork for each request; gives its arguments in a fork, and nothing once all are done."""
    waiting = selectors.DefaultSelector()
    waiting.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.data is not None:
                pid, end = key.data
                waiting.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(pid, 0)
                end.send(str(os.waitstatus_to_exitcode(status)).encode())
                end.close()
                continue
            request, fds, _, _ = socket.recv_fds(control, REQUEST_BYTES, 3)
            if not request:
                return None
            out, err, end_fd = fds
            pid = os.fork()
            if pid == 0:
                os.close(end_fd)
                control.close()
                waiting.close()
                return begin(*json.loads(request), out, err)
            os.close(out)
            os.close(err)
            end = socket.socket(fileno=end_fd)
            end.send(str(pid).encode())
            waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, end))


def begin(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, out: int, err: int
) -> Sequence[str]:
    """Be as a process is that was started with these; gives the arguments."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    # Those of before are of other files, which could be searched.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if "LD_PRELOAD" in environment:
        ctypes.CDLL(None).read_environment()  # of end_at_write.c
        del os.environ["LD_PRELOAD"]
    if QUICK_WAITS in environment:
        tenacity.nap.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100))
    sys.argv = ["storepipe", *arguments]
    return arguments


def load_migrations() -> None:
    """Load what an instance in a new home needs of Dagster's migrations."""
    from storepipe_dagster.instance import BatchingSqliteStorage  # noqa: PLC0415

    importlib.import_module("storepipe_dagster_tests.migrations")
    with tempfile.TemporaryDirectory() as folder:
        BatchingSqliteStorage(folder).dispose()


def main() -> None:
    """Load, serve, and in a fork be the command."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # What Sail's library reads when it is loaded; the command sets it otherwise.
    os.environ["RUST_LOG"] = "error"
    for name in LOADED:
        importlib.import_module(name)
    load_migrations()
    gc.collect()
    gc.freeze()
    if serve(control) is not None:
        from storepipe_dagster import cli  # noqa: PLC0415
        from storepipe_dagster.settings import settings  # noqa: PLC0415

        settings.cache_clear()
        end(cli.main)


def end(main: Callable[[], None]) -> NoReturn:
    """Run a main function, and end the process with it, as an interpreter would.

    It is not left to the interpreter, because libraries there wait for threads that a fork lacks.
    """
    code, interrupted = 0, False
    try:
        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException as error:  # noqa: BLE001  # the interpreter does, too
        code, interrupted = 1, isinstance(error, KeyboardInterrupt)
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


if __name__ == "__main__":
    main()
