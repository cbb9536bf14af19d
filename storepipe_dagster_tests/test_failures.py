"""Tests of `storepipe_dagster.failures`: what is told of an error, and whether it may pass."""

import sqlite3
from types import SimpleNamespace

import dagster as dg
import deltalake
import pytest
import sqlalchemy as sa
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo

from storepipe_dagster import failures
from storepipe_dagster.errors import PassingError, UserError
from storepipe_dagster.io_managers.azure_errors import (
    LakeAwayError,
    LakeUnreachableError,
    unreachable,
)
from storepipe_dagster.io_managers.lake import MissingUpstreamError
from storepipe_dagster.resources import sqlite
from storepipe_dagster.resources.database import DatabaseBusyError, DatabaseError
from storepipe_dagster.resources.databricks.endings import (
    DatabricksAwayError,
    DatabricksRunError,
    WorkspaceError,
)
from storepipe_dagster.resources.spark import SparkUnreachableError
from storepipe_dagster.resources.store_api import StoreApi, StoreApiAwayError, StoreApiError
from storepipe_dagster.settings import SettingsError
from storepipe_dagster.storage_account import StorageAccount
from storepipe_dagster_tests.resources.cart_lines import CAPTURE
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server


def logged(error):
    """An error as a step's failure has it, with Dagster's own around it."""
    try:
        raise error
    except type(error) as caught:
        info = (type(caught), caught, caught.__traceback__)
        inner = serializable_error_info_from_exc_info(info)
    message = "dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred\n"
    return SerializableErrorInfo(message, [], "DagsterExecutionStepExecutionError", cause=inner)


def test_an_interruption_is_one_in_words():
    error = logged(DagsterExecutionInterruptedError())

    assert failures.cause(error) == "It was interrupted."
    assert failures.passes(error)


def own(name):
    return SerializableErrorInfo(f"{name}: It was there.\n", [], name.rpartition(".")[2])


@pytest.mark.parametrize(
    "error",
    [
        StoreApiAwayError("It answered 500."),
        DatabaseBusyError("It found a deadlock."),
        LakeAwayError("No answer came in time."),
        SparkUnreachableError("No Spark Connect server answers."),
        DatabricksAwayError("The cluster was lost."),
        ConnectionResetError("Connection reset by peer"),
        TimeoutError("timed out"),
        deltalake.exceptions.CommitFailedError("Another commit came first."),
        OSError("Generic MicrosoftAzure error: error sending request for url"),
    ],
)
def test_the_network_a_lock_and_a_cluster_pass(error):
    assert failures.passes(logged(error))


@pytest.mark.parametrize(
    "error",
    [
        UserError("No."),
        StoreApiError("It answered 404."),
        DatabaseError("The password is refused. Connection refused"),
        LakeUnreachableError("The key is wrong."),
        DatabricksRunError("The code failed."),
        WorkspaceError("It refuses."),
        MissingUpstreamError(dg.AssetKey(["raw", "carts"])),
        SettingsError("MYSQL_HOST is unset."),
        ZeroDivisionError("division by zero"),
        ValueError("a cart of the number 503"),
    ],
)
def test_bad_data_bad_settings_and_what_nobody_knows_stay(error):
    assert not failures.passes(logged(error))


def test_an_error_of_an_earlier_version_that_is_no_more_there_stays():
    assert not failures.passes(own("storepipe_dagster.gone.GoneError"))
    assert not failures.passes(own("storepipe_dagster.errors.GoneError"))
    assert failures.passes(own("storepipe_dagster.errors.PassingError"))


def test_the_words_of_an_error_are_its_own_without_its_class():
    assert failures.cause(logged(DatabaseError("It is away. Check: it."))) == (
        "It is away. Check: it."
    )
    assert failures.cause(logged(ValueError("no"))) == "ValueError: no"


def test_a_failed_check_tells_for_itself():
    error = SerializableErrorInfo("1 check failed", [], failures.CHECK_FAILED)

    assert failures.is_check(error)
    assert failures.cause(error) is None
    assert failures.cause(None) is None
    assert not failures.passes(None)


def test_what_passes_has_a_remedy_like_every_error_of_ours():
    assert issubclass(PassingError, UserError)


# --- where they are raised ------------------------------------------------------------------

ACCOUNT = StorageAccount.from_connection_string("AccountName=store;AccountKey=a2V5")


def answer(status, code):
    """An answer of the storage account."""
    request = SimpleNamespace(method="GET", url="https://store.blob.core.windows.net")
    response = SimpleNamespace(status_code=status, reason="", headers={}, request=request)
    error = HttpResponseError("No.", response=response)
    error.error_code = code
    return error


@pytest.mark.parametrize(("status", "passing"), [(500, True), (429, True), (404, False)])
def test_an_api_that_answers_so_passes_or_stays(status, passing):
    with scripted_server() as server:
        server.steps["/products"] = [Step(status=status)] * 2
        api = StoreApi(base_url=server.url, tries=2, first_wait=0, longest_wait=0)
        with pytest.raises(StoreApiError) as caught:
            api.products(list)

    assert failures.passes(logged(caught.value)) is passing


def test_a_lock_of_sqlite_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "SECONDS_TO_WAIT", 0)
    path = tmp_path / "store.db"
    things = sa.Table(
        "things",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text),
    )
    database = sqlite.SqliteDatabase(path=str(path))
    database.upsert(things, [], capture=CAPTURE)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError) as caught:
        database.upsert(things, [(1, "a")], capture=CAPTURE)
    other.close()

    assert failures.passes(logged(caught.value))


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (answer(503, "ServerBusy"), True),
        (answer(429, ""), True),
        (answer(409, "ContainerBeingDeleted"), True),
        (answer(404, "ContainerNotFound"), False),
        (answer(403, "AuthorizationPermissionMismatch"), False),
        (ServiceRequestError("Connection refused"), True),
        (ServiceRequestError("certificate verify failed"), False),
        (ServiceRequestError("Name or service not known"), False),
        (ClientAuthenticationError("No identity was found."), False),
    ],
)
def test_a_storage_account_that_answers_so_passes_or_stays(error, passing):
    assert failures.passes(logged(unreachable(error, ACCOUNT))) is passing


def test_a_full_disk_is_told_with_the_remedy_first():
    error = RuntimeError("Failed to write file: No space left on device (os error 28)")
    assert failures.cause(logged(error)).splitlines() == [
        "A disk is full. Make room there, then run again.",
        f"RuntimeError: {error}",
    ]
