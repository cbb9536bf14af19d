"""A command that is forked is what it would be in an interpreter of its own."""

import signal
import subprocess

import pytest

from storepipe_dagster_tests.end_to_end.commands import Home

RUN = ("run", "--from", "2020-01-01", "--to", "2020-01-01")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--from", "yesterday"),
        (*RUN, "--select", "group:nope"),
        ("sql", "SELECT 1.50::DECIMAL(12, 2) AS money"),
    ],
    ids=["bad option", "mistake", "sql"],
)
def test_it_prints_and_ends_the_same(tmp_path, arguments):
    home = Home(tmp_path)
    forked, alone = (home.command(*arguments, alone=alone) for alone in (False, True))

    assert (forked.returncode, forked.stdout, forked.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )


def test_it_has_its_own_settings(tmp_path):
    bad = Home(tmp_path, extra={"STOREPIPE_API_URL": "fakestoreapi.com"}).command(*RUN)
    good = Home(tmp_path).command("status", "--from", "2020-01-01", "--to", "2020-01-01")

    assert "STOREPIPE_API_URL cannot be used" in bad.stderr
    assert "STOREPIPE_API_URL" not in good.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_number(tmp_path, number):
    """Nothing is printed by then, as the store waits for a client; SIGINT and SIGTERM end it."""
    process = Home(tmp_path).start("store", "--port", "0", "--carts", "5", "--days", "1")
    address = process.stdout.readline()
    process.send_signal(number)

    assert address.startswith("http://127.0.0.1:")
    assert process.wait(60) == (-9 if number == signal.SIGKILL else 0)


def test_what_takes_too_long_is_killed(tmp_path):
    process = Home(tmp_path).start("store", "--port", "0", "--carts", "5", "--days", "1")
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.2)

    assert process.wait(60) == -9
