"""Tests of `storepipe_dagster.process`."""

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from storepipe_dagster.process import (
    SurroundingsError,
    expect_text,
    prepare_process,
    reach_loopback_directly,
    without_addresses,
)

LOOPBACK = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, LOOPBACK),
        ({"no_proxy": ""}, LOOPBACK),
        ({"no_proxy": "intranet.example"}, f"intranet.example,{LOOPBACK}"),
        ({"NO_PROXY": "a.example, b.example"}, f"a.example,b.example,{LOOPBACK}"),
        ({"no_proxy": "127.0.0.1,x", "NO_PROXY": "y"}, "127.0.0.1,x,localhost,::1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_this_machine_is_never_reached_by_a_proxy(environment, names):
    reach_loopback_directly(environment)
    assert environment == {"no_proxy": names, "NO_PROXY": names}


def test_new_files_are_the_owners_only(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    before = os.umask(0o022)
    try:
        prepare_process()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "folder" / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
def test_addresses_in_a_librarys_log_lose_what_may_be_a_signature(level):
    text = 'http://lake:443 "GET /raw?sv=1&sig=%s HTTP/1.1" 200'
    record = logging.LogRecord("urllib3", level, "", 0, text, ("hunter2",), None)
    assert without_addresses(record) == (level >= logging.WARNING)
    assert record.getMessage() == 'http://lake:443 "GET /raw?... HTTP/1.1" 200'


def test_what_is_not_text_is_refused_without_its_value():
    with pytest.raises(SurroundingsError, match="An argument is not UTF-8"):
        expect_text(["storepipe", "sql", os.fsdecode(b"FROM \xff")], {})
    with pytest.raises(SurroundingsError, match=r"environment: .MYSQL_PASSWORD") as caught:
        expect_text([], {"A": "é", "MYSQL_PASSWORD": os.fsdecode(b"hunter2\xff")})
    assert "hunter2" not in str(caught.value)


def shell(script, **options):
    """Run a shell script in which $storepipe is the command."""
    return subprocess.run(
        ["bash", "-c", f'storepipe="{sys.executable} -m storepipe_dagster.cli"; {script}'],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("$storepipe sql $'FROM \\xff'", "Error: An argument is not UTF-8 text.\n"),
        (
            "SOME=$'\\xff' $storepipe sql 'SELECT 1'",
            "Error: Not UTF-8 text in the environment: 'SOME'. Unset it or set it.\n",
        ),
        (
            "mkdir gone; cd gone; rmdir ../gone; $storepipe sql 'SELECT 1'",
            "Error: The current folder is gone: cd to one that exists.\n",
        ),
        (
            "$storepipe demo --days 9999",
            "Error: 2047-05-17 is not over yet (UTC): the last whole day is ",
        ),
    ],
)
def test_surroundings_that_cannot_be_used_are_one_line(tmp_path, script, told):
    home = {"STOREPIPE_HOME": str(tmp_path / "home")}
    done = shell(script, cwd=tmp_path, env={**os.environ, **home})
    assert done.returncode == 1
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_closed_output_is_nowhere(tmp_path, form):
    home = {"STOREPIPE_HOME": str(tmp_path / "home")}
    done = shell(f"$storepipe sql 'SELECT 1' --format {form} >&- <&-", env={**os.environ, **home})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_ctrl_c_ends_a_query_by_one_line(tmp_path, form):
    query = "SELECT 1 FROM range(100000000) a, range(100000000) b WHERE a.range + b.range < 0"
    command = [sys.executable, "-m", "storepipe_dagster.cli", "sql", query, "--format", form]
    home = {"STOREPIPE_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(command, env={**os.environ, **home}, stderr=subprocess.PIPE)
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, b"\nInterrupted.\n")
