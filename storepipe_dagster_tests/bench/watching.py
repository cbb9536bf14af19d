"""What a process and all that it starts take: time, processor time, memory. Linux only."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

PAUSE = 0.05


@dataclass(frozen=True)
class Taken:
    """Wall and processor seconds, and the peak of memory in MiB, of a tree of processes.

    Memory that processes share counts once for each. Of a child that ends, the processor time
    since the last look is missing.
    """

    seconds: float
    cpu: float
    peak: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[Taken, str]:
    """Run a command to its end and expect it to succeed; gives what it printed too."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            taken = _watch(process, started)
        except BaseException:  # Ctrl-C, for example
            process.kill()
            raise
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{printed}")
    return taken, printed


def _watch(process: "subprocess.Popen[bytes]", started: float) -> Taken:
    root, peak = psutil.Process(process.pid), 0
    cpu: dict[psutil.Process, float] = {}
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    # Left unreaped until it was looked at once more: its own times are then complete.
    while True:
        is_over = os.waitid(os.P_PID, process.pid, ended) is not None
        seconds, memory = time.monotonic() - started, 0
        for one in [root, *_children(root)]:
            with contextlib.suppress(psutil.Error):  # it has just ended
                times = one.cpu_times()
                cpu[one] = times.user + times.system
                memory += one.memory_info().rss
        peak = max(peak, memory)
        if is_over:
            process.wait()
            return Taken(seconds, sum(cpu.values()), peak / 2**20)
        time.sleep(PAUSE)


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []
