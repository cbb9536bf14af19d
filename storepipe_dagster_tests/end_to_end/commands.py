"""Running the commands as a user does: a process of their own, a home of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storepipe_dagster.cli import plain
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources.lake_sql import LakeSql

SECONDS = 300


@dataclass(frozen=True)
class Home:
    """A STOREPIPE_HOME and the store that it captures from."""

    path: Path
    api_url: str = "http://127.0.0.1:9"  # nobody listens on the discard port
    extra: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def lake(self) -> Path:
        return self.path / "lake"

    @property
    def environment(self) -> dict[str, str]:
        variables = {
            **os.environ,
            "STOREPIPE_HOME": str(self.path),
            "STOREPIPE_API_URL": self.api_url,
            "PYTHONUNBUFFERED": "1",
            **self.extra,
        }
        return {name: value for name, value in variables.items() if value is not None}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command; its progress comes on standard error."""
        return subprocess.Popen(
            [sys.executable, "-m", "storepipe_dagster.cli", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, first: str, last: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run ``storepipe run`` and expect it to succeed."""
        done = self.command("run", "--from", first, "--to", last, *options)
        assert done.returncode == 0, done.stderr
        return done

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query, with money as numbers and times as text."""
        with LakeSql(lake=Lake(root=str(self.lake))).connect() as lake:
            rows = lake.sql(query).to_arrow_table().to_pylist()
        return json.loads(json.dumps(rows, default=plain))

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every trusted and refined table, for comparisons."""
        names = self.sql(
            "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
            "WHERE table_schema IN ('raw_relational', 'trusted', 'refined') ORDER BY 1"
        )
        return {row["name"]: self.sql(f"FROM {row['name']} ORDER BY ALL") for row in names}

    def files(self) -> dict[str, int]:
        """Every file of the lake with the time of its last change."""
        return {
            str(file.relative_to(self.lake)): file.stat().st_mtime_ns
            for file in self.lake.rglob("*")
            if file.is_file()
        }
