"""The services of compose.yaml, started here without containers: its commands, its health checks.

What differs: programs are this environment's, ports are free ones, hosts are this machine, and a
few waits are shorter. Their runs end with the code server, as they do with its container.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import requests
import yaml

import storepipe_dagster
from storepipe_dagster_tests.servers.postgres import PostgresDatabase
from storepipe_dagster_tests.servers.process import Server, free_port

PRODUCTION = Path(storepipe_dagster.__file__).parent / "production"
COMPOSE = yaml.safe_load((PRODUCTION / "compose.yaml").read_text())
COMPUTE_LOGS = re.compile(r"compute_logs:\n(?:(?: .*)?\n)+")
QUICKER = {
    "user_code_failure_retry_delay: 30": "user_code_failure_retry_delay: 5",
    "max_runtime_seconds: 86400": "max_runtime_seconds: 86400\n  poll_interval_seconds: 2",
}
SECONDS = 180


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """The text with all of these changed; each must be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Deployment:
    """The files, the ports and the variables that the services share."""

    def __init__(self, folder: Path, database: PostgresDatabase, api_url: str) -> None:
        self.code_port, self.web_port = free_port(), free_port()
        self.dagster_home, self.home = folder / "dagster", folder / "home"
        for path in (self.dagster_home, self.home):
            path.mkdir()
        # That steps print into Azure is tested in test_dagster_yaml.
        instance = COMPUTE_LOGS.sub("", (PRODUCTION / "dagster.yaml").read_text())
        (self.dagster_home / "dagster.yaml").write_text(replaced(instance, QUICKER))
        self.workspace = self.dagster_home / "workspace.yaml"
        self.workspace.write_text(
            replaced(
                (PRODUCTION / "workspace.yaml").read_text(),
                {"host: code-server": "host: 127.0.0.1", "port: 4000": f"port: {self.code_port}"},
            )
        )
        self.variables = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "DAGSTER_HOME": str(self.dagster_home),
            "STOREPIPE_HOME": str(self.home),
            "STOREPIPE_API_URL": api_url,
            **database.environment(),
        }

    def here(self, command: Sequence[str]) -> list[str]:
        """A command of a container, on this machine."""
        changes = {
            "/opt/dagster/workspace.yaml": str(self.workspace),
            "0.0.0.0": "127.0.0.1",
            "4000": str(self.code_port),
            "3000": str(self.web_port),
        }
        words = []
        for word in command:
            for old, new in changes.items():
                word = word.replace(old, new)  # noqa: PLW2901
            words.append(word)
        return words

    def ask(self, query: str, **variables: Any) -> Any:
        """The webserver's answer to a GraphQL query."""
        answer = requests.post(
            f"http://127.0.0.1:{self.web_port}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def wait_for(self, what: str, ask, wanted) -> Any:
        """Ask until the answer is one that is wanted; gives it."""
        deadline = time.monotonic() + SECONDS
        while not wanted(answer := ask()):
            assert time.monotonic() < deadline, f"{what} is still {answer}"
            time.sleep(0.5)
        return answer


class Service(Server):
    """One of them; a `with` block starts it, and returns once its own health check says well."""

    start_seconds: ClassVar[float] = SECONDS
    stop_seconds: ClassVar[float] = SECONDS

    def __init__(self, name: str, deployment: Deployment) -> None:
        self.name = name
        super().__init__()
        self.deployment = deployment
        self.port = {"code-server": deployment.code_port, "webserver": deployment.web_port}.get(
            name, 0
        )

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), **self.deployment.variables}

    def command(self) -> Sequence[str | Path]:
        return self.deployment.here(COMPOSE["services"][self.name]["command"])

    def answers(self) -> bool:
        if not self._listens():  # which costs less to find out than a health check
            time.sleep(0.5)
            return False
        return self.is_well()

    def is_well(self) -> bool:
        """What the health check says."""
        kind, *command = COMPOSE["services"][self.name]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self.deployment.here(command),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def kill(self) -> None:
        """End it and the runs that it started, as the end of a container does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
        super().kill()

    def _listens(self) -> bool:
        if not self.port:
            return True
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
