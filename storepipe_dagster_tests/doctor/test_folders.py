"""Tests of the doctor's checks on this machine's own disk."""

import shutil
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from storepipe_dagster.doctor import TroubleError, dagster_home, deployment, lake_folder, sqlite
from storepipe_dagster.instance import CONFIGURATION, use_dagster_home
from storepipe_dagster.settings import Settings

CHECKS = pytest.mark.parametrize("check", [lake_folder.check, dagster_home.check, sqlite.check])


@pytest.fixture(autouse=True)
def no_dagster_home(monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "to be put back")
    monkeypatch.delenv("DAGSTER_HOME")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "some" / "home"


def settings_of(home):
    return Settings(_env_file=None, storepipe_home=home)


def trouble(check, home):
    with pytest.raises(TroubleError) as caught:
        check(settings_of(home))
    return str(caught.value)


@CHECKS
def test_a_home_that_can_be_made_is_well_and_not_made(check, home, tmp_path):
    assert str(home) in (told := check(settings_of(home)))
    assert " GiB free" in told
    assert list(tmp_path.iterdir()) == []


@CHECKS
def test_a_file_where_a_folder_should_be(check, tmp_path):
    (tmp_path / "file").write_text("")

    told = trouble(check, tmp_path / "file" / "home")

    assert told.startswith(f"{tmp_path / 'file'} is a file where a folder should be. ")
    assert "Set STOREPIPE_HOME" in told


@CHECKS
def test_a_folder_that_cannot_be_written_to(check):
    told = trouble(check, "/proc/storepipe")  # not even root may

    assert told.startswith("/proc cannot be written to: ")
    assert "Set STOREPIPE_HOME" in told


@CHECKS
def test_a_disk_that_is_full(check, home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**28))

    assert "has only 0.25 GiB free. Make room" in trouble(check, home)


# --- the database ---------------------------------------------------------------------------


@pytest.fixture
def database(home):
    """A database of two products; closed."""
    home.mkdir(parents=True)
    with closing(sqlite3.connect(home / "store.db")) as file:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("CREATE TABLE products (product_id INTEGER)")
        file.execute("INSERT INTO products VALUES (1), (2)")
        file.commit()
    return home / "store.db"


def test_a_database_is_well_and_its_products_are_told(database, home):
    before = database.read_bytes()

    assert ": 2 products, " in sqlite.check(settings_of(home))
    assert [path.name for path in home.iterdir()] == ["store.db"]
    assert database.read_bytes() == before


def test_a_database_without_tables_is_well(home):
    home.mkdir(parents=True)
    (home / "store.db").touch()

    assert ": no products yet, " in sqlite.check(settings_of(home))


def test_a_database_that_another_writes_to(database, home, monkeypatch):
    monkeypatch.setattr(sqlite, "SECONDS", 0.2)
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert "was locked for " in trouble(sqlite.check, home)


def test_a_file_that_is_no_database(home):
    home.mkdir(parents=True)
    (home / "store.db").write_text("these are no pages of SQLite's " * 100)

    assert "is no intact SQLite database. Move it away" in trouble(sqlite.check, home)


def test_a_folder_in_place_of_the_database(home):
    (home / "store.db").mkdir(parents=True)

    assert "store.db cannot be used: " in trouble(sqlite.check, home)


# --- Dagster's home -------------------------------------------------------------------------


def test_our_home_with_its_configuration_is_well(home):
    use_dagster_home(home / "dagster")

    assert dagster_home.check(settings_of(home)).endswith(" GiB free")


def test_an_empty_configuration_of_our_home_is_told(home):
    file = home / "dagster" / "dagster.yaml"
    file.parent.mkdir(parents=True)
    file.touch()

    assert dagster_home.check(settings_of(home)).endswith(
        f"; {file} is empty: the next run writes it"
    )


def test_a_configuration_of_our_home_that_was_cut(home):
    file = home / "dagster" / "dagster.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(CONFIGURATION.split("run_retries:")[0])

    assert trouble(dagster_home.check, home).startswith(
        f"{file} lacks run_retries, run_monitoring, nux, telemetry: a write of it may have been "
        "cut off. Remove it, and the next command writes it anew"
    )


def test_a_named_home_with_its_configuration_is_well(home, tmp_path, monkeypatch):
    (tmp_path / "dagster.yaml").write_text("")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    told = dagster_home.check(settings_of(home))

    assert told.startswith(f"history as {tmp_path / 'dagster.yaml'} says")


def test_a_named_home_without_configuration(home, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    assert f"{tmp_path} has no dagster.yaml" in trouble(dagster_home.check, home)


def test_a_named_home_that_is_not_there(home, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "absent"))

    assert "is no folder. Make it" in trouble(dagster_home.check, home)


def test_a_named_home_that_is_not_absolute(home, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "dagster")

    assert "DAGSTER_HOME=dagster is not absolute" in trouble(dagster_home.check, home)


# --- the settings ---------------------------------------------------------------------------


def test_the_settings_tell_where_they_came_from(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert deployment.check(settings_of(home)) == f"local, from the environment; home {home}"

    (tmp_path / ".env").write_text("")
    assert "from the environment and .env; " in deployment.check(settings_of(home))
