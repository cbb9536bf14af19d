"""Running the commands as a user does: a process of their own, a home and a lake of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from storepipe_dagster.io_managers.azure_lake import CONTAINERS, AzureLake
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.printing import as_json
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster_tests.end_to_end import forks

SECONDS = 300


@dataclass(frozen=True)
class Home:
    """A STOREPIPE_HOME, the store that it captures from, and the variables of its deployment."""

    path: Path
    api_url: str = "http://127.0.0.1:9"  # nobody listens on the discard port
    extra: Mapping[str, str | None] = field(default_factory=dict)

    @cached_property
    def lake(self) -> Lake:
        if account := self.extra.get("AZURE_STORAGE_CONNECTION_STRING"):
            return AzureLake(connection_string=account)
        return Lake(root=str(self.path / "lake"))

    @property
    def environment(self) -> dict[str, str]:
        variables = {
            **os.environ,
            "STOREPIPE_HOME": str(self.path),
            "STOREPIPE_API_URL": self.api_url,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "",  # each command would compile the package again
            **self.extra,
        }
        return {name: value for name, value in variables.items() if value is not None}

    def start(self, *arguments: str) -> forks.Command:
        """Start a command; its progress comes on standard error."""
        return forks.start(arguments, self.environment)

    def start_alone(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command as a user does, in an interpreter that has loaded nothing yet."""
        return subprocess.Popen(
            [sys.executable, "-m", "storepipe_dagster.cli", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str, alone: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        alone = alone or forks.FIRST_DAY in self.environment
        process = self.start_alone(*arguments) if alone else self.start(*arguments)
        out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, first: str, last: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run ``storepipe run`` and expect it to succeed."""
        done = self.command("run", "--from", first, "--to", last, *options)
        assert done.returncode == 0, done.stderr
        return done

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query, with money as numbers and times as text."""
        with LakeSql(lake=self.lake).connect() as lake:
            return _rows(lake, query)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every trusted and refined table, for comparisons."""
        with LakeSql(lake=self.lake).connect() as lake:
            names = _rows(
                lake,
                "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
                "WHERE table_schema IN ('raw_relational', 'trusted', 'refined') ORDER BY 1",
            )
            return {row["name"]: _rows(lake, f"FROM {row['name']} ORDER BY ALL") for row in names}

    def files(self) -> dict[str, Any]:
        """Every file of the lake, with what changes when it is written."""
        return {
            path.removeprefix(self.lake.root).lstrip("/"): info.get("etag") or info["mtime"]
            for zone in CONTAINERS
            for path, info in self.lake.files.find(f"{self.lake.root}/{zone}", detail=True).items()
        }

    def matching(self, pattern: str) -> list[str]:
        """The files of the lake whose names match; a star stands for slashes too."""
        return sorted(name for name in self.files() if fnmatch(name, pattern))

    def read(self, name: str) -> bytes:
        """A file of the lake."""
        return self.lake.files.cat_file(f"{self.lake.root}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Put a file into the lake."""
        with self.lake.write(f"{self.lake.root}/{name}") as file:
            file.write(content)

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """All that a run leaves behind: the files of the lake and of the home."""
        for name in self.files():
            yield name, self.read(name)
        for file in self.path.rglob("*"):
            if file.is_file() and not file.is_relative_to(self.path / "lake"):
                yield str(file), file.read_bytes()


def _rows(lake: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    rows = lake.sql(query).to_arrow_table().to_pylist()
    return json.loads(as_json(rows))
