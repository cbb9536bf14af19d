"""What a developer is told where the servers may not be installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storepipe_dagster_tests.servers import install
from storepipe_dagster_tests.servers.azurite import Azurite
from storepipe_dagster_tests.servers.install import InstallError, MissingServerError
from storepipe_dagster_tests.servers.mariadb import MariaDb
from storepipe_dagster_tests.servers.mysql import MySql
from storepipe_dagster_tests.servers.postgres import Postgres


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """A machine without servers, apt-get and npm; gives the folder of its programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(install, "SEARCH_PATH", str(programs))
    monkeypatch.setattr(install, "FOLDER", tmp_path / ".servers")
    monkeypatch.setattr(install, "AZURITE_FOLDER", tmp_path / ".servers" / "azurite")
    monkeypatch.setattr(install, "OURS", {name: tmp_path / name for name in install.OURS})
    return programs


def put_program(folder, name, script="exit 0"):
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("server", "program"),
    [
        (MariaDb, "mariadbd"),
        (MySql, "mysqld"),
        (Postgres, "postgres"),
        (Azurite, "azurite-blob"),
    ],
)
def test_a_missing_server_fails_with_what_to_do(bare_machine, server, program):
    with pytest.raises(MissingServerError, match=f"(?s)missing: {program}.*make servers"):
        server()


def test_without_apt_get_it_says_what_is_needed(bare_machine):
    with pytest.raises(MissingServerError) as caught:
        install.install()
    message = str(caught.value)
    assert "mariadb-server-core, mariadb-client-core, util-linux, chromium, postgresql" in message
    assert "This machine has no apt-get." in message
    assert "apt-get install --no-install-recommends mariadb-server-core" in message


def test_without_root_it_installs_no_debian_package(bare_machine, monkeypatch):
    put_program(bare_machine, "apt-get")
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    with pytest.raises(MissingServerError, match="Only root may install Debian's packages"):
        install.install()


def test_without_npm_it_says_that_azurite_needs_it(bare_machine):
    for name in (*install.DEBIAN, "apt-get"):
        put_program(bare_machine, name)
    with pytest.raises(MissingServerError, match=r"(?s)missing: azurite.*Node.js and npm"):
        install.install()


def test_a_failed_command_is_shown_and_leaves_nothing_half_made(bare_machine):
    for name in (*install.DEBIAN, "apt-get"):
        put_program(bare_machine, name)
    put_program(bare_machine, "npm", "echo no such registry; exit 7")
    with pytest.raises(InstallError, match=r"(?s)npm install .* failed:.*no such registry"):
        install.install()
    assert not install.AZURITE_FOLDER.exists()


def test_the_command_ends_with_one_message_and_exit_code_one(tmp_path):
    # The same file as if in another checkout, on a machine with no programs on the path.
    copy = tmp_path / "tests" / "servers" / "install.py"
    copy.parent.mkdir(parents=True)
    shutil.copy(install.__file__, copy)
    done = subprocess.run(
        [sys.executable, copy],
        check=False,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("The tests run on real servers. What is missing: ")
    assert "Traceback" not in done.stderr


def test_where_everything_is_there_it_does_nothing():
    done = subprocess.run(
        [sys.executable, "-m", install.__name__],
        check=False,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
