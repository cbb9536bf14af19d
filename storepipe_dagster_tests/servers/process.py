"""A server of the tests as a process: start, kill, stop, and start again on the same data."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from filelock import FileLock

from storepipe_dagster_tests.servers.install import FOLDER

START_SECONDS = 60
STOP_SECONDS = 30

# The kernel ends a server when the thread that started it ends, so that none outlives a killed test
# run. One thread that lives as long as this process starts them all.
_LAUNCHER = ThreadPoolExecutor(1, thread_name_prefix="server-launcher")


class ServerError(RuntimeError):
    """A server did not start or stop; the message has the end of its log."""


class Server:
    """Use it in a `with` block, which starts it, and ends it and removes its folder at the end.

    A copy by pickle, in another process or in this one, serves its clients and cannot start, stop
    or kill it.
    """

    name: ClassVar[str]
    start_seconds: ClassVar[float] = START_SECONDS
    stop_seconds: ClassVar[float] = STOP_SECONDS

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"storepipe-{self.name}-"))
        self.port = free_port()
        self.log = self.folder / "server.log"
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        self.pid: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_copy = False

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_process": None, "_is_copy": True}

    def prepare(self) -> None:
        """What is done once, before the first start."""

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        # A server may tidy the folder of temporary files when it starts: MariaDB does.
        return {**os.environ, "TMPDIR": str(self.temporary)}

    def answers(self) -> bool:
        """Tell whether a client is served."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, or start it again on the same port and data; returns when it answers."""
        self._need_the_original()
        if self.running:
            raise ServerError(f"{self.name} runs already")
        if not self.log.exists():
            self.prepare()
        with self.log.open("ab") as output:
            self._process = _LAUNCHER.submit(
                subprocess.Popen,
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command()],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the test run, which then stops it
            ).result()
        self.pid = self._process.pid
        deadline = time.monotonic() + self.start_seconds
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} did not start; its log ends:\n{self._last_words()}")
            time.sleep(0.02)

    def copy_prepared(self, program: Path, make: Callable[[Path], None], folder: Path) -> None:
        """Give the server the data that it starts with: made once for this program, then copied."""
        size_and_time = program.stat().st_size, program.stat().st_mtime_ns
        prepared = FOLDER / "-".join(map(str, (f"prepared-{self.name}", *size_and_time)))
        if not prepared.exists():
            FOLDER.mkdir(exist_ok=True)
            with FileLock(FOLDER / f"prepared-{self.name}.lock"):
                if not prepared.exists():
                    with tempfile.TemporaryDirectory(dir=FOLDER) as new:
                        make(Path(new) / "data")
                        (Path(new) / "data").rename(prepared)
        self.run("cp", "--recursive", "--preserve", "--sparse=always", prepared, folder)

    def run(self, *command: str | Path) -> None:
        """Run a command of the server's to its end."""
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ServerError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def kill(self) -> None:
        """End it at once, as a power cut does; nothing happens when it does not run."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait for it; nothing happens when it does not run."""
        self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        self._need_the_original()
        return self._process is not None and self._process.poll() is None

    def _need_the_original(self) -> None:
        if self._is_copy:
            raise ServerError(f"this {self.name} serves other tests as well: use one of your own")

    def _end(self, how: signal.Signals) -> None:
        self._need_the_original()
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(f"{self.name} did not stop:\n{self._last_words()}") from None

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.kill()  # nothing in it is worth keeping
        shutil.rmtree(self.folder)


def free_port() -> int:
    """A port that nobody listens on.

    It is below those that the kernel gives to connections: a server that was killed finds its port
    again, and a client that tries it meanwhile cannot be connected to itself.
    """
    while True:
        port = random.randrange(10_240, 32_768)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
