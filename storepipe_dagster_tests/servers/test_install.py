"""What a developer is told where the servers may not be installed, and what is done without."""

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
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(install, "SEARCH_PATH", str(programs))
    monkeypatch.setattr(install, "FOLDER", tmp_path / ".servers")
    monkeypatch.setattr(install, "UV", tmp_path / "uv")
    monkeypatch.setattr(install, "AZURITE_FOLDER", tmp_path / ".servers" / "azurite")
    monkeypatch.setattr(install, "NO_MYSQL", tmp_path / ".servers" / "mysql-cannot-be-had")
    monkeypatch.setattr(install, "OURS", {name: tmp_path / name for name in install.OURS})
    return programs


@pytest.fixture
def full_machine(bare_machine):
    """A machine with all that Debian's packages bring; what is called is in the file `calls`."""
    install.UV.touch()
    for name in (*install.DEBIAN, "apt-get"):
        put_program(bare_machine, name)
    put_program(bare_machine, "java", "echo 'openjdk version \"17.0.15\" 2025-04-15'")
    put_program(bare_machine, "node", "echo v20.20.2")
    return bare_machine


def put_program(folder, name, script="exit 0"):
    program = folder / name
    program.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder.parent / "calls"}\n{script}\n')
    program.chmod(0o755)


def changes(folder):
    """What changed the machine: the calls but for those that only look."""
    calls = folder.parent / "calls"
    asked = ("java ", "node ", "sudo -n true")
    lines = calls.read_text().splitlines() if calls.exists() else []
    return [line for line in lines if not line.startswith(asked)]


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


# --- the machine is checked first -----------------------------------------------------------------


def test_without_apt_get_one_message_names_all_that_is_missing(bare_machine):
    with pytest.raises(MissingServerError) as caught:
        install.install()
    message = str(caught.value)
    assert "java (openjdk-17-jre-headless), node (nodejs), npm (npm), mariadbd" in message
    assert "This machine has no apt-get." in message
    assert "apt-get install --no-install-recommends python3-pip openjdk-17-jre-headless" in message


@pytest.mark.parametrize("missing", ["java", "node", "npm", "mariadbd", "chromium"])
def test_without_root_one_message_says_what_to_install_and_nothing_is(
    full_machine, monkeypatch, missing
):
    (full_machine / missing).unlink()
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    with pytest.raises(MissingServerError, match="Only root may install packages") as caught:
        install.install()
    assert f"What is missing: {missing} ({install.DEBIAN[missing]})." in str(caught.value)
    assert changes(full_machine) == []


@pytest.mark.parametrize(
    ("program", "version"),
    [("java", 'openjdk version "11.0.2"'), ("java", 'java version "1.8.0_402"'), ("node", "v12.9")],
)
def test_an_old_java_or_node_is_none(full_machine, monkeypatch, program, version):
    put_program(full_machine, program, f"echo '{version}' >&2")
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    with pytest.raises(MissingServerError, match=rf"What is missing: {program} \("):
        install.check()


def test_the_check_alone_changes_nothing(full_machine):
    (full_machine / "postgres").unlink()
    install.main(["check"])
    assert changes(full_machine) == []


def test_sudo_that_asks_for_nothing_is_as_good_as_root(full_machine, monkeypatch):
    put_program(full_machine, "sudo", '[ "$1" = -n ] && shift; exec "$@"')
    put_program(full_machine, "env", 'shift; exec "$@"')
    put_program(full_machine, "true")
    put_program(full_machine, "apt-cache", "echo Candidate: 1")
    (full_machine / "postgres").unlink()
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    with pytest.raises(MissingServerError, match=r"missing: postgres\.\n.*has no newer ones"):
        install.install()  # this apt-get brings nothing
    last = [line for line in changes(full_machine) if line.startswith("sudo env ")][-1]
    assert last.endswith("install --yes --no-install-recommends postgresql")


def test_sudo_that_would_ask_where_nobody_can_answer_is_none(full_machine, monkeypatch):
    put_program(full_machine, "sudo", "exit 1")
    (full_machine / "postgres").unlink()
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install.sys, "stdin", None)
    with pytest.raises(MissingServerError, match="Only root may install packages"):
        install.check()


def test_an_old_python_is_told_before_anything_else(bare_machine, monkeypatch):
    monkeypatch.setattr(install.sys, "version_info", (3, 9, 2))
    with pytest.raises(InstallError, match=r"needs Python 3\.10 or newer.*PYTHON=python3\.10"):
        install.main([])


# --- the installation -----------------------------------------------------------------------------


def test_a_failed_command_is_shown_and_leaves_nothing_half_made(full_machine):
    put_program(full_machine, "npm", "echo no such registry; exit 7")
    with pytest.raises(InstallError, match=r"(?s)npm install .* failed:.*no such registry"):
        install.install()
    assert not install.AZURITE_FOLDER.exists()


@pytest.fixture
def without_mysql(full_machine, monkeypatch):
    """A machine that has all else, and whose archive of MySQL does not answer."""
    install.OURS["azurite-blob"].touch()
    tried = []

    def fail(folder):
        tried.append(folder)
        raise InstallError("no such release")

    monkeypatch.setattr(install, "install_mysql", fail)
    return tried


def test_where_mysql_cannot_be_had_the_rest_is_installed_and_it_is_not_tried_again(
    without_mysql, capsys
):
    install.install()
    install.install()
    assert len(without_mysql) == 1
    assert "MySQL cannot be had: MariaDB stands in for it." in capsys.readouterr().out
    assert install.NO_MYSQL.read_text() == "no such release"


def test_with_ci_set_a_mysql_that_cannot_be_had_is_an_error(without_mysql, monkeypatch):
    install.install()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(InstallError, match="no such release"):
        install.install()


@pytest.mark.parametrize("arguments", [[], ["check"]])
def test_the_command_ends_with_one_message_and_exit_code_one(tmp_path, arguments):
    # The same file as if in another checkout, on a machine with no programs on the path.
    copy = tmp_path / "tests" / "servers" / "install.py"
    copy.parent.mkdir(parents=True)
    shutil.copy(install.__file__, copy)
    done = subprocess.run(
        [sys.executable, "-I", copy, *arguments],
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
        [sys.executable, install.__file__],
        check=False,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
