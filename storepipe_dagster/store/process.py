"""The store in a process of its own, so that it does not compete with its client for one Python.

The process is `python -m storepipe_dagster.store` (see `__main__`). Its standard input is a pipe
from this process: when this process ends, however it ends, the pipe closes and the store ends too.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from storepipe_dagster.store.shop import StoreError

SECONDS_TO_END = 5.0


@contextmanager
def store_process(
    *,
    carts: int | None = None,
    days: int | None = None,
    seed: int | None = None,
    from_dir: Path | None = None,
    port: int | None = None,
) -> Iterator[str]:
    """Serve a shop from another process; yields the base URL.

    What is None has the command's default. Raises StoreError when the store does not start; it has
    then said why on standard error.
    """
    options = {"carts": carts, "days": days, "seed": seed, "from-dir": from_dir, "port": port}
    command = [sys.executable, "-m", "storepipe_dagster.store", "--until-stdin-closes"]
    command += [f"--{name}={value}" for name, value in options.items() if value is not None]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        stdin, stdout = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
        try:
            base_url = stdout.readline().strip()
            if not base_url:
                raise StoreError(
                    f"The store ended at its start (exit code {process.wait()}): "
                    "its message stands on standard error"
                )
            yield base_url
        finally:
            stdin.close()
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
