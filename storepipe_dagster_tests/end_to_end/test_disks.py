"""A disk that is full or read-only, and a SQLite file that is locked: one message, and a repair.

The disks are small ones in memory, which only root may mount.
"""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.end_to_end.test_killed_run import FIRST, LAST, status

RUN = ("run", "--from", FIRST, "--to", LAST)
MIB = 2**20
DISK_MIB = 48
# Of Python, of Dagster's loggers and of libraries' threads.
NOISE = ("Traceback", "Exception", "sqlalche", "OperationalError", "Errno")
# The latter where there was no room for the reason.
REASON = re.compile("is full. Make room there|The process of this run ended before the run did")
HOLD = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def disk(folder):
    """Mount a small disk at a folder, and put what the folder held on it."""
    content = folder.with_name(f"{folder.name}-content")
    folder.rename(content)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "storepipe", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        shutil.copytree(content, folder, dirs_exist_ok=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, room):
    """Leave only so much room on a disk."""
    with (folder / "filling").open("wb") as file:
        left = shutil.disk_usage(folder).free - room
        os.posix_fallocate(file.fileno(), 0, left)


def make_room(folder):
    (folder / "filling").unlink()


@pytest.fixture(scope="module")
def made(shop_url, tmp_path_factory):
    """A home that a run has made."""
    home = Home(tmp_path_factory.mktemp("made") / "home", shop_url)
    home.run(FIRST, LAST)
    return home


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    shutil.copytree(made.path, tmp_path / "home")
    return Home(tmp_path / "home", made.api_url)


def refused(home, *command):
    """The last line of a command that fails because of a disk: what is wrong and what to do."""
    done = home.command(*command)
    assert done.returncode == 1, done.stderr
    assert not [sign for sign in NOISE if sign in done.stderr], done.stderr
    told = [line for line in done.stderr.splitlines() if not line.startswith(("[", " "))]
    assert len(told) <= 3, done.stderr  # what it began with, and two about the disk
    return told[-1]


@pytest.mark.parametrize(
    "command",
    [RUN, ("status",), ("rollback", "trusted.sales", "--to-version", "0"), ("dev",)],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("condition", ["full", "read-only"])
def test_a_command_on_a_full_or_read_only_disk_is_one_message(home, command, condition):
    with disk(home.path):
        if condition == "full":
            fill(home.path, 0)
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(home.path)], check=True)
        told = refused(home, *command)
        history = home.command("history", "trusted.sales")

    wrong = {
        "full": f"The disk of {home.path} is full. Make room there",
        "read-only": f"{home.path} is read-only. Allow writing there, or set STOREPIPE_HOME to "
        "another folder",
    }
    assert told == f"Error: {wrong[condition]}, then run again: storepipe {' '.join(command)}"
    assert (history.returncode, history.stderr) == (0, "")  # reading needs no room


@pytest.mark.parametrize(
    ("part", "room"),
    [
        ("", 2 * MIB),
        *(
            pytest.param(part, room * 1024, marks=pytest.mark.slow)
            for part, rooms in {
                "": (64, 200, 500, 900, 1200, 1500, 2500, 3000, 3500),
                "lake": (4, 60, 110, 160, 220, 300, 400, 800),
                "dagster": (400, 1200, 1500, 2000),
            }.items()
            for room in rooms
        ),
    ],
)
def test_a_disk_that_becomes_full_leaves_what_is_good_and_the_next_run_repairs_the_rest(
    home, clean, part, room
):
    with disk(home.path / part):
        fill(home.path / part, room)
        told = refused(home, *RUN)
        assert "is full. Make room there, then run again" in told
        assert home.tables() == clean

        make_room(home.path / part)
        _, lines = status(home)
        assert {line["state"] for line in lines} <= {"failed", "stale"}
        if lines:  # else there was not even room to begin
            assert [line for line in lines if REASON.search(line["reason"])]

        home.run(FIRST, LAST)
        assert status(home) == (0, [])
        assert home.tables() == clean


@pytest.fixture
def lock():
    """Start a process that holds a SQLite file; gives its number."""
    holders = []

    def hold(file):
        command = [sys.executable, "-c", HOLD, str(file)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        holders.append(subprocess.Popen(command, **pipes, text=True))
        assert holders[-1].stdout.readline() == "held\n"
        return holders[-1].pid

    def let_go():
        while holders:
            holders.pop().communicate()

    yield hold, let_go
    let_go()


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["store.db", "dagster/history/runs.db", "dagster/history/runs/index.db"]
)
def test_a_file_that_another_process_holds_for_long_is_named_with_that_process(
    home, clean, lock, file
):
    hold, let_go = lock
    process = hold(home.path / file)

    told = refused(home, *RUN)

    assert (
        f"{home.path}/{file} was locked by process {process} for longer than storepipe waits. Wait "
        "for it to end, or end it, then run again"
    ) in told
    let_go()
    _, lines = status(home)
    assert {line["state"] for line in lines} <= {"failed", "stale"}
    home.run(FIRST, LAST)
    assert status(home) == (0, [])
    assert home.tables() == clean
