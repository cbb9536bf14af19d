"""Tests of `storepipe_dagster.doctor.examination`, and of the command as a user runs it."""

import subprocess
import sys
import threading
import time
from base64 import b64encode
from types import ModuleType
from typing import get_args

import pytest

from storepipe_dagster.doctor import TroubleError, examination
from storepipe_dagster.doctor.examination import DEADLINE_SECONDS, LATE, SERVICES, examine
from storepipe_dagster.settings import Deployment, Settings
from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.servers.mariadb import LEAST

SECRET = "hunter2"


@pytest.fixture
def with_checks(monkeypatch):
    """Put these checks in place of the local deployment's."""

    def put(**checks):
        for name, check in checks.items():
            module = ModuleType(f"storepipe_dagster.doctor.{name}")
            module.check = check
            monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(SERVICES, "local", {name: name for name in checks})

    return put


def lines():
    told = []
    return examine(Settings(_env_file=None), told.append), told


def well(_):
    return "answers"


def wrong(_):
    raise TroubleError("does not answer.\nStart it.")


def test_each_service_is_one_aligned_line_in_order(with_checks):
    with_checks(first=well, second_service=well)

    assert lines() == (
        True,
        ["first           ok     answers", "second_service  ok     answers"],
    )


def test_one_that_is_wrong_makes_the_whole_wrong_and_hides_no_other(with_checks):
    with_checks(first=wrong, second=well)

    assert lines() == (
        False,
        ["first   WRONG  does not answer. Start it.", "second  ok     answers"],
    )


def test_an_unforeseen_error_is_told_without_its_text(with_checks):
    def fail(_):
        raise ValueError(SECRET)

    with_checks(first=fail)

    well, (line,) = lines()
    assert not well
    assert "WRONG  fails in a way that doctor does not know: ValueError in test_examination" in line
    assert SECRET not in line


def test_all_are_checked_at_once(with_checks):
    together = threading.Barrier(3, timeout=5)

    def meet(_):
        together.wait()
        return "met"

    with_checks(first=meet, second=meet, third=meet)

    assert lines()[0]


def test_a_check_that_hangs_is_told_and_not_waited_for(with_checks, monkeypatch):
    monkeypatch.setattr(examination, "DEADLINE_SECONDS", 0.2)
    release = threading.Event()
    with_checks(first=lambda _: release.wait(), second=lambda _: release.wait(), third=well)

    started = time.monotonic()
    well_all, told = lines()
    release.set()

    assert time.monotonic() - started < 2
    assert not well_all
    assert [line.split()[1] for line in told] == ["WRONG", "WRONG", "ok"]
    assert "has not answered for " in told[0]


def test_a_line_is_told_as_soon_as_it_is_known(with_checks):
    release = threading.Event()
    told = []
    with_checks(first=well, second=lambda _: str(release.wait(5)))

    def tell(line):
        told.append(line)
        release.set()  # the second check ends only once the first line was told

    assert examine(Settings(_env_file=None), tell)
    assert told[1].endswith("True")


def test_every_deployment_has_its_services():
    assert set(SERVICES) == set(get_args(Deployment))
    assert "Databricks" in SERVICES["databricks"]


# --- the command ----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    """A home with a store to capture from, in a folder of its own."""
    with store_process(carts=10, days=1, seed=1) as url:
        yield Home(tmp_path / "home", url)


def states(told):
    """The second column by the first."""
    return {line[:9].strip(): line[11:16].strip() for line in told.splitlines()}


@pytest.fixture
def examined(home, monkeypatch):
    """What is told of the home, in this process, however busy the machine is."""

    def tell():
        monkeypatch.setattr(examination, "DEADLINE_SECONDS", 60.0)
        for name, value in home.environment.items():
            monkeypatch.setenv(name, value)
        told = []
        return examine(Settings(_env_file=None), told.append), "\n".join(told)

    return tell


def test_a_laptop_is_well_and_nothing_is_made(home, examined):
    well_all, told = examined()

    assert well_all, told
    assert list(states(told)) == ["settings", "Dagster", "store API", "database", "lake", "Spark"]
    assert not home.path.exists()


def test_the_azure_deployment_is_well(home, examined, mariadb, azure_account):
    database = mariadb.create_database(grants=LEAST)
    home.extra.update(database.environment())
    home.extra["DAGSTER_DEPLOYMENT"] = "azure"
    home.extra["AZURE_STORAGE_CONNECTION_STRING"] = azure_account

    well_all, told = examined()

    assert well_all, told
    assert "database   ok     MySQL at 127.0.0.1:" in told
    assert "lake       ok     http://127.0.0.1:" in told


PATIENT_DOCTOR = """
from storepipe_dagster import cli
from storepipe_dagster.doctor import examination
examination.DEADLINE_SECONDS = 60.0
cli.main()
"""


def test_the_store_of_a_demo_is_served_while_it_is_checked(tmp_path):
    home = Home(tmp_path, extra={"STOREPIPE_API_URL": None})
    (tmp_path / "demo.json").write_text('{"carts": 10, "days": 1, "seed": 1}')

    done = subprocess.run(
        [sys.executable, "-c", PATIENT_DOCTOR, "doctor"],
        env=home.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "store API  ok     http://127.0.0.1:" in done.stdout


def test_a_setting_that_cannot_be_used_is_one_line(home):
    home.extra["MYSQL_PORT"] = SECRET

    done = home.command("doctor")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: MYSQL_PORT cannot be used: ")
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr


def test_it_ends_soon_and_tells_no_secret_where_nothing_answers(home, black_hole, silent):
    nowhere = f"127.0.0.1:{black_hole}"
    home.extra.update(
        {
            "DAGSTER_DEPLOYMENT": "azure",
            "STOREPIPE_API_URL": f"http://{nowhere}",
            "STOREPIPE_SPARK_REMOTE": f"sc://127.0.0.1:{silent}/;token={SECRET}",
            "MYSQL_HOST": "127.0.0.1",
            "MYSQL_PORT": str(black_hole),
            "MYSQL_USER": "clerk",
            "MYSQL_PASSWORD": SECRET,
            "MYSQL_DATABASE": "store",
            "AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint=http://{nowhere}/lake;"
            f"AccountName=lake;AccountKey={b64encode(SECRET.encode()).decode()}",
        }
    )

    started = time.monotonic()
    done = home.command("doctor")
    seconds = time.monotonic() - started

    assert done.returncode == 1
    assert states(done.stdout) == {
        "settings": "ok",
        "Dagster": "ok",
        "store API": "WRONG",
        "database": "WRONG",
        "lake": "WRONG",
        "Spark": "WRONG",
    }
    # On a busy machine the imports alone may take the time that a service is given.
    late = done.stdout.count(LATE)
    assert done.stdout.count("no answer") + late >= 3
    assert "does not speak Spark Connect" in done.stdout or late
    assert seconds < DEADLINE_SECONDS + 23  # the start of a process included
    assert SECRET not in done.stdout + done.stderr
    assert b64encode(SECRET.encode()).decode() not in done.stdout + done.stderr
