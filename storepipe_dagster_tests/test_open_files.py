"""Tests of `storepipe_dagster.open_files`, each in a process whose limit is its own."""

import resource
import subprocess
import sys

import deltalake
import pyarrow as pa
import pytest

from storepipe_dagster import failures, open_files
from storepipe_dagster.open_files import with_remedy
from storepipe_dagster_tests.test_failures import logged

TELL = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"


# Not set between fork and exec: there, gRPC's threads of the tests' process have ended the child.
LIMITED = """
import os, resource, sys
soft, hard, *command = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), int(hard)))
os.execv(command[0], command)
"""


def limited(command, soft, hard, **options):
    """The result of a command that starts with these limits."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(soft), str(hard), *command],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def soft_limit_after(code, soft, hard):
    done = limited([sys.executable, "-c", f"{code}\n{TELL}"], soft, hard)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


RAISED = "from storepipe_dagster.open_files import raise_limit; raise_limit()"


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [(256, 512, 512), (256, 256, 256), (300, 4096, 4096)],
)
def test_the_limit_is_raised_as_far_as_is_allowed(soft, hard, raised):
    assert soft_limit_after(RAISED, soft, hard) == raised


@pytest.mark.parametrize(
    ("soft", "hard", "asked"),
    [
        (1024, 1_048_576, [65_536]),
        (1024, 65_536, [65_536]),
        (70_000, 1_048_576, []),
        (20_000, 20_000, []),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, []),
    ],
)
def test_a_higher_limit_is_left_as_it_is(monkeypatch, soft, hard, asked):
    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    open_files.raise_limit()
    assert limits == [(limit, hard) for limit in asked]


def test_a_system_that_allows_less_than_its_hard_limit_says_gets_the_next_lower_step(monkeypatch):
    asked = []

    def refuse_the_first(_, limits):
        asked.append(limits)
        if limits[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")

    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, infinity))
    monkeypatch.setattr(resource, "setrlimit", refuse_the_first)
    open_files.raise_limit()
    assert asked == [(65_536, infinity), (10_240, infinity)]


def test_a_limit_that_cannot_be_raised_is_no_error(monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    open_files.raise_limit()
    assert open_files.limit() == 256


def test_windows_has_no_limit(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    open_files.raise_limit()
    assert open_files.limit() is None


def test_loading_the_definitions_raises_it():
    assert soft_limit_after("import storepipe_dagster.definitions", 300, 600) == 600


COMMAND = """
import contextlib, sys
from storepipe_dagster import cli
sys.argv[1:] = ["nonsense"]
with contextlib.suppress(SystemExit):
    cli.main()
"""


def test_a_command_raises_it():
    assert soft_limit_after(COMMAND, 300, 600) == 600


# --- the message ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "OSError: [Errno 24] Too many open files: 'data.parquet'",
        "Generic LocalFileSystem error: Unable to open file /x: Too many open files (os error 24)",
        'IO Error: Cannot open file "/x.parquet": Too many open files',
    ],
)
def test_the_remedy_comes_first_and_names_the_limit(text):
    remedy, told = with_remedy(text, 256).split("\n")
    assert remedy.startswith(
        "Too many files were open at once; the process may have 256. Allow more with "
        "`ulimit -n 4096` (where that is refused, as root, with LimitNOFILE=4096 in the service "
    )
    assert told == text


def test_another_error_is_left_as_it_is():
    assert with_remedy("No such file: os error 2") == "No such file: os error 2"


def test_more_than_there_is_is_advised():
    assert "`ulimit -n 262144`" in with_remedy("Too many open files", 65_536)


def test_a_step_that_failed_so_is_told_with_the_remedy():
    error = logged(OSError(24, "Too many open files", "/lake/data.parquet"))
    of_this_process, of_another = failures.cause(error, 256), failures.cause(error)
    assert of_this_process.startswith("Too many files were open at once; the process may have 256.")
    assert of_another.startswith(
        "Too many files were open at once. Allow more with `ulimit -n 4096`"
    )
    assert of_another.endswith("[Errno 24] Too many open files: '/lake/data.parquet'")


PINNED = """
import resource, sys
import duckdb, deltalake, pyarrow.parquet, pyarrow.dataset
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
table = deltalake.DeltaTable(sys.argv[2])
try:
    while True:
        held.append(open(sys.argv[1]))
except OSError as error:
    print(error)
try:
    duckdb.sql(f"FROM read_csv('{sys.argv[1]}')").fetchall()
except duckdb.Error as error:
    print(str(error).splitlines()[0])
try:
    pyarrow.parquet.read_table(sys.argv[1])
except OSError as error:
    print(error)
try:
    table.to_pyarrow_table()
except Exception as error:
    print(str(error).splitlines()[0])
"""


def test_the_engines_say_it_in_the_words_that_are_looked_for(tmp_path):
    (tmp_path / "file.csv").write_text("a,b\n1,2\n")
    deltalake.write_deltalake(str(tmp_path / "table"), pa.table({"a": [1]}))
    command = [sys.executable, "-c", PINNED, str(tmp_path / "file.csv"), str(tmp_path / "table")]
    lines = limited(command, 1024, 1024).stdout.splitlines()
    assert len(lines) == 4
    assert [line for line in lines if with_remedy(line) == line] == []
