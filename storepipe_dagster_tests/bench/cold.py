"""The command ``storepipe`` with its time divided: ``python -m …bench.cold FILE run --from …``.

Each moment counts once, for the innermost of what is going on. What is timed is wrapped from
outside, so that the package knows nothing of it; the wrapped names are internals of Python's,
Dagster's and ours. The parts are written to the file as JSON, in seconds.
"""

import _frozen_importlib
import functools
import inspect
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IMPORTS, SPARK, WORK, DAGSTER = "imports", "Spark start", "work", "Dagster"


class Division:
    """Divides the time of the main thread; Dagster's is what nothing else claims."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((IMPORTS, SPARK, WORK, DAGSTER), 0.0)
        self._part = DAGSTER
        self._since = time.monotonic()

    def _turn_to(self, part: str) -> str:
        """Count the time since the last turn; gives the part that it was for."""
        now, before = time.monotonic(), self._part
        self.seconds[before] += now - self._since
        self._part, self._since = part, now
        return before

    @contextmanager
    def counting(self, part: str) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = self._turn_to(part)
        try:
            yield
        finally:
            self._turn_to(before)

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Count all calls of a function, and what its generator does, if it gives one."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.counting(part):
                result = original(*args, **kwargs)
            return self._each(result, part) if inspect.isgenerator(result) else result

        setattr(owner, name, timed)

    def _each(self, values: Iterator[Any], part: str) -> Iterator[Any]:
        end = object()
        while True:
            with self.counting(part):
                value = next(values, end)
            if value is end:
                return
            yield value


def watch(division: Division) -> None:
    """Wrap what makes a part; its imports are the command's own, only earlier."""
    division.wrap(_frozen_importlib, "_find_and_load", IMPORTS)  # called for what is not loaded yet
    from dagster._core.execution.plan import compute_generator  # noqa: PLC0415

    from storepipe_dagster.io_managers import (  # noqa: PLC0415
        capture_files,
        delta,
        pages,
        parquet,
    )
    from storepipe_dagster.resources import spark  # noqa: PLC0415

    for name in ("_connected", "_sail_address"):
        division.wrap(spark, name, SPARK)
    division.wrap(compute_generator, "invoke_compute_fn", WORK)  # each asset, each check
    for manager in (
        capture_files.CaptureFilesIOManager,
        delta.DeltaIOManager,
        pages.PageIOManager,
        parquet.ParquetIOManager,
    ):
        for name in ("handle_output", "load_input"):
            division.wrap(manager, name, WORK)


if __name__ == "__main__":
    seconds = Division()
    watch(seconds)
    from storepipe_dagster.cli import main

    file = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        with seconds.counting(DAGSTER):
            file.write_text(json.dumps(seconds.seconds))
