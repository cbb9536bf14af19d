"""Tests of `storepipe_dagster.settings`."""

import os
from datetime import date, time
from pathlib import Path

import pytest

from storepipe_dagster import settings as module
from storepipe_dagster.settings import (
    CONNECTION_STRING,
    PUBLIC_API,
    SERVICE_PRINCIPAL,
    Settings,
    SettingsError,
    read_settings,
)

MYSQL = {
    "MYSQL_HOST": "db.example",
    "MYSQL_USER": "clerk",
    "MYSQL_PASSWORD": "hunter2-mysql",
    "MYSQL_DATABASE": "store",
}
AZURE = {
    **MYSQL,
    "DAGSTER_DEPLOYMENT": "azure",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=lake;AccountKey=hunter2azure",
}
SET_BY_DATABRICKS = {"DATABRICKS_RUNTIME_VERSION"}
READ_BY_COMPOSE = {"DAGSTER_POSTGRES_PASSWORD"}
DATABRICKS = {
    **AZURE,
    "DAGSTER_DEPLOYMENT": "databricks",
    "DATABRICKS_HOST": "https://adb.example",
    "DATABRICKS_STAGING": "dbfs:/staging",
    "DATABRICKS_TOKEN": "hunter2-token",
}


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Read the settings from exactly these variables, in a folder without a ``.env``."""

    def read_from(**variables):
        for name in Settings.model_fields:
            for variable in {name.upper(), name} & os.environ.keys():
                monkeypatch.delenv(variable)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_settings()

    monkeypatch.chdir(tmp_path)
    return read_from


def without(variables, *names):
    return {name: value for name, value in variables.items() if name not in names}


def test_nothing_needs_to_be_set(read, tmp_path):
    settings = read()
    assert settings.dagster_deployment == "local"
    assert settings.storepipe_api_url == PUBLIC_API
    assert settings.storepipe_home == tmp_path / ".storepipe"
    assert settings.storepipe_start_date == date(2019, 12, 1)
    assert settings.storepipe_spark_remote is None
    assert settings.mysql_port == 3306


@pytest.mark.parametrize(
    ("variable", "value", "read_as"),
    [
        ("DAGSTER_DEPLOYMENT", "local", "local"),
        ("STOREPIPE_HOME", "/data/storepipe", Path("/data/storepipe")),
        ("STOREPIPE_HOME", "~/storepipe", Path.home() / "storepipe"),
        ("STOREPIPE_API_URL", "http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("STOREPIPE_START_DATE", "2020-02-29", date(2020, 2, 29)),
        ("STOREPIPE_SPARK_REMOTE", "sc://spark.example:15002", "sc://spark.example:15002"),
        ("MYSQL_HOST", "db.example", "db.example"),
        ("MYSQL_PORT", "3307", 3307),
        ("MYSQL_USER", "clerk", "clerk"),
        ("MYSQL_DATABASE", "store", "store"),
        ("MYSQL_SSL_CA", "/etc/ca.pem", Path("/etc/ca.pem")),
        ("AZURE_STORAGE_ACCOUNT_NAME", "lake", "lake"),
        ("DATABRICKS_HOST", "https://adb.example", "https://adb.example"),
        ("DATABRICKS_CLIENT_ID", "me", "me"),
        ("DATABRICKS_CLUSTER_ID", "0101-120000-abc", "0101-120000-abc"),
        ("DATABRICKS_HOST", "adb.example/", "https://adb.example"),
        ("DATABRICKS_STAGING", "/Volumes/a/b/c", "/Volumes/a/b/c"),
        ("DATABRICKS_STAGING", "dbfs:/storepipe/", "dbfs:/storepipe"),
        ("DATABRICKS_STAGING", "dbfs:/Volumes/a/b/c/d", "/Volumes/a/b/c/d"),
        ("DATABRICKS_SECRET_SCOPE", "storepipe", "storepipe"),
        ("DATABRICKS_VIEWERS", "users", "users"),
        ("DATABRICKS_SPARK_VERSION", "17.3.x-scala2.13", "17.3.x-scala2.13"),
        ("DATABRICKS_NODE_TYPE", "Standard_E4ds_v5", "Standard_E4ds_v5"),
        ("DATABRICKS_WORKERS", "2-8", "2-8"),
        ("DATABRICKS_INSTANCE_POOL_ID", "pool", "pool"),
        ("DATABRICKS_POLICY_ID", "policy", "policy"),
        ("DATABRICKS_SINGLE_USER_NAME", "ana@example.com", "ana@example.com"),
        ("DATABRICKS_TIMEOUT_SECONDS", "60", 60),
        ("DATABRICKS_POLL_SECONDS", "0.5", 0.5),
        ("DATABRICKS_MAX_RETRIES", "0", 0),
        ("DATABRICKS_RETRY_SECONDS", "1.5", 1.5),
    ],
)
def test_each_variable_is_read(read, variable, value, read_as):
    assert getattr(read(**{variable: value}), variable.lower()) == read_as


@pytest.mark.parametrize(
    "variable",
    [
        "MYSQL_PASSWORD",
        "AZURE_STORAGE_CONNECTION_STRING",
        "DATABRICKS_TOKEN",
        "DATABRICKS_CLIENT_SECRET",
    ],
)
def test_a_secret_is_read_but_never_shown(read, variable):
    value = "AccountName=lake;AccountKey=hunter2="
    settings = read(**{variable: value})
    assert getattr(settings, variable.lower()).get_secret_value() == value
    assert "hunter2" not in f"{settings} {settings!r} {settings.model_dump()} " + str(
        settings.model_dump_json()
    )


def test_every_variable_stands_in_the_example_file():
    example = Path(module.__file__).parents[1] / ".env.example"
    assert {
        line.removeprefix("#").split("=")[0]
        for line in example.read_text().splitlines()
        if "=" in line
    } == {name.upper() for name in Settings.model_fields} - SET_BY_DATABRICKS | READ_BY_COMPOSE


def test_a_dotenv_file_is_read(read, tmp_path):
    (tmp_path / ".env").write_text("STOREPIPE_HOME=/from/file\nUNRELATED=1\n")
    assert read().storepipe_home == Path("/from/file")


def test_the_environment_wins_over_the_dotenv_file(read, tmp_path):
    (tmp_path / ".env").write_text("MYSQL_USER=file\nMYSQL_HOST=file\n")
    settings = read(MYSQL_USER="environment")
    assert (settings.mysql_user, settings.mysql_host) == ("environment", "file")


def test_an_argument_wins_over_the_environment(read):
    read(STOREPIPE_START_DATE="2020-01-01")
    assert read_settings(storepipe_start_date=date(2021, 1, 1)).storepipe_start_date.year == 2021


def test_empty_values_count_as_unset(read, tmp_path):
    (tmp_path / ".env").write_text("MYSQL_PORT=\nSTOREPIPE_API_URL=\n")
    settings = read(DAGSTER_DEPLOYMENT="", STOREPIPE_HOME="", STOREPIPE_START_DATE="")
    assert settings.dagster_deployment == "local"
    assert settings.mysql_port == 3306
    assert settings.storepipe_api_url == PUBLIC_API


def test_an_empty_value_that_is_needed_is_missing(read):
    with pytest.raises(SettingsError, match="needs MYSQL_PASSWORD:"):
        read(**{**AZURE, "MYSQL_PASSWORD": ""})


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("DAGSTER_DEPLOYMENT", "hunter2", "Input should be 'local', 'azure' or 'databricks'"),
        ("DAGSTER_DEPLOYMENT", "Local", "Input should be 'local', 'azure' or 'databricks'"),
        ("STOREPIPE_START_DATE", "hunter2", "Input should be a valid date"),
        ("STOREPIPE_START_DATE", "2020-02-30", "Input should be a valid date"),
        ("STOREPIPE_API_URL", "hunter2", "is not an http:// or https:// address"),
        ("STOREPIPE_API_URL", "ftp://hunter2", "is not an http:// or https:// address"),
        ("STOREPIPE_API_URL", "http://hunter2:99999", "is not an http:// or https:// address"),
        ("STOREPIPE_API_URL", "http://hunter2:0", "is not an http:// or https:// address"),
        ("STOREPIPE_API_URL", "http://hunter2..org", "is not an http:// or https:// address"),
        ("STOREPIPE_API_URL", "http://hunter2 /x", "is not an http:// or https:// address"),
        ("STOREPIPE_API_URL", "http://hunter2/\n", "is not an http:// or https:// address"),
        ("STOREPIPE_API_URL", "http://hunter2/\udcff", "is not an http:// or https:// address"),
        ("STOREPIPE_API_SECONDS", "inf", "should be less than or equal to"),
        ("STOREPIPE_API_SECONDS", "1e10", "should be less than or equal to"),
        ("DATABRICKS_POLL_SECONDS", "inf", "should be less than or equal to"),
        ("STOREPIPE_WEBHOOK_URL", "hunter2", "is not an http:// or https:// address"),
        ("STOREPIPE_WEBHOOK_URL", "https://", "is not an http:// or https:// address"),
        ("STOREPIPE_WEBHOOK_URL", "https://[::hunter2", "is not an http:// or https:// address"),
        ("STOREPIPE_DAGSTER_URL", "hunter2:3000", "is not an http:// or https:// address"),
        ("STOREPIPE_DAY_DEADLINE", "hunter2", "Input should be in a valid time format"),
        ("STOREPIPE_DAY_DEADLINE", "04:00+01:00", "is a time of day in UTC"),
        ("STOREPIPE_SPARK_REMOTE", "hunter2:15002", "should match pattern"),
        ("STOREPIPE_SPARK_REMOTE", "sc://", "should match pattern"),
        ("MYSQL_PORT", "hunter2", "Input should be a valid integer"),
        ("MYSQL_PORT", "65536", "should be less than or equal to 65535"),
        ("MYSQL_PORT", "0", "should be greater than or equal to 1"),
        ("AZURE_STORAGE_CONNECTION_STRING", "hunter2", "is not a list of Name=value"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=hunter2=", "it has no AccountName"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_error_that_names_the_variable(
    read, variable, value, told
):
    with pytest.raises(SettingsError) as caught:
        read(**{variable: value})
    message = str(caught.value)
    assert message.startswith(f"{variable} cannot be used: ")
    assert told in message
    assert ".env.example" in message
    assert "hunter2" not in message
    assert "\n" not in message


@pytest.mark.parametrize("home", ["/data/Ann Lee", "/data/é", "/data/50%", "/data/[1]", "/a#b"])
def test_a_home_that_spark_cannot_write_to_is_refused(read, home):
    with pytest.raises(SettingsError, match=r"^STOREPIPE_HOME cannot be used: .*Sail"):
        read(STOREPIPE_HOME=home)


def test_a_home_of_a_user_that_is_not_there_is_refused(read):
    with pytest.raises(SettingsError, match=r"^STOREPIPE_HOME cannot be used: '~nobody-here/x'"):
        read(STOREPIPE_HOME="~nobody-here/x")


def test_two_bad_values_are_two_lines(read):
    with pytest.raises(SettingsError) as caught:
        read(MYSQL_PORT="x", STOREPIPE_START_DATE="x")
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "STOREPIPE_START_DATE",
        "MYSQL_PORT",
    ]


@pytest.mark.parametrize(
    "variables",
    [
        AZURE,
        {**without(AZURE, "AZURE_STORAGE_CONNECTION_STRING"), "AZURE_STORAGE_ACCOUNT_NAME": "lake"},
        DATABRICKS,
        {
            **without(DATABRICKS, "DATABRICKS_TOKEN"),
            "DATABRICKS_CLIENT_ID": "me",
            "DATABRICKS_CLIENT_SECRET": "hunter2",
        },
    ],
    ids=["connection string", "account name", "token", "service principal"],
)
def test_a_deployment_with_what_it_needs_is_read(read, variables):
    assert read(**variables).dagster_deployment == variables["DAGSTER_DEPLOYMENT"]


@pytest.mark.parametrize("deployment", [AZURE, DATABRICKS], ids=["azure", "databricks"])
@pytest.mark.parametrize("variable", MYSQL)
def test_a_missing_database_variable_is_named(read, deployment, variable):
    with pytest.raises(SettingsError) as caught:
        read(**without(deployment, variable))
    assert str(caught.value) == (
        f"DAGSTER_DEPLOYMENT={deployment['DAGSTER_DEPLOYMENT']} needs {variable}: "
        "set it in the environment or in .env (see .env.example)."
    )


@pytest.mark.parametrize("deployment", [AZURE, DATABRICKS], ids=["azure", "databricks"])
def test_a_missing_lake_is_named_with_both_ways_to_give_it(read, deployment):
    with pytest.raises(
        SettingsError, match="needs AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME:"
    ):
        read(**without(deployment, "AZURE_STORAGE_CONNECTION_STRING"))


@pytest.mark.parametrize("variable", ["DATABRICKS_HOST", "DATABRICKS_STAGING"])
def test_a_missing_databricks_variable_is_named(read, variable):
    with pytest.raises(SettingsError, match=f"needs {variable}:"):
        read(**without(DATABRICKS, variable))


@pytest.mark.parametrize(
    "half", [{}, {"DATABRICKS_CLIENT_ID": "me"}, {"DATABRICKS_CLIENT_SECRET": "hunter2"}], ids=str
)
def test_a_missing_login_of_databricks_is_named_with_both_ways_to_give_it(read, half):
    with pytest.raises(
        SettingsError,
        match="needs DATABRICKS_TOKEN or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET:",
    ):
        read(**without(DATABRICKS, "DATABRICKS_TOKEN"), **half)


@pytest.mark.parametrize(
    "staging",
    ["/staging", "dbfs://staging", "dbfs:/", "/Volumes/catalog/schema", "abfss://a@b/c", "/dbfs/x"],
)
def test_a_staging_area_that_is_none_is_refused(read, staging):
    with pytest.raises(SettingsError, match=r"DATABRICKS_STAGING cannot be used: .*dbfs:/FOLDER"):
        read(DATABRICKS_STAGING=staging)


@pytest.mark.parametrize("workers", ["many", "2-", "-2", "2..8", "00", "8-2"])
def test_workers_that_are_neither_a_number_nor_a_range_are_refused(read, workers):
    with pytest.raises(SettingsError, match="DATABRICKS_WORKERS cannot be used"):
        read(DATABRICKS_WORKERS=workers)


@pytest.mark.parametrize("second", ["DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"])
def test_two_logins_to_databricks_are_one_too_many(read, second):
    with pytest.raises(SettingsError, match="are both set") as caught:
        read(**DATABRICKS, **{second: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_on_a_cluster_only_the_lake_is_needed(read):
    variables = {
        "DAGSTER_DEPLOYMENT": "databricks",
        "DATABRICKS_RUNTIME_VERSION": "18.0",
        "DATABRICKS_TOKEN": "",  # as dagster-databricks' script sets it there
        "AZURE_STORAGE_ACCOUNT_NAME": "lake",
    }
    assert read(**variables).on_cluster
    with pytest.raises(SettingsError, match=r"needs AZURE_STORAGE_CONNECTION_STRING or.*SCOPE"):
        read(**{**variables, "AZURE_STORAGE_ACCOUNT_NAME": ""})


@pytest.mark.parametrize(
    ("lake", "secrets"),
    [
        ("AccountName=a;AccountKey=aGk=", [CONNECTION_STRING]),
        ("AccountName=a;SharedAccessSignature=sig=1", [CONNECTION_STRING]),
        ("BlobEndpoint=https://a.blob.core.windows.net", [CONNECTION_STRING, *SERVICE_PRINCIPAL]),
        ("", [*SERVICE_PRINCIPAL]),
    ],
    ids=["key", "signature", "place only", "name only"],
)
def test_a_cluster_is_given_what_opens_the_lake(read, lake, secrets):
    assert read(AZURE_STORAGE_CONNECTION_STRING=lake).cluster_secrets == secrets


def test_all_missing_variables_are_named_at_once(read):
    with pytest.raises(SettingsError) as caught:
        read(DAGSTER_DEPLOYMENT="databricks")
    for variable in (*MYSQL, "AZURE_STORAGE_ACCOUNT_NAME", "DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        assert variable in str(caught.value)


def test_an_error_of_what_is_missing_shows_no_secret_that_is_there(read):
    with pytest.raises(SettingsError) as caught:
        read(**without(DATABRICKS, "DATABRICKS_HOST"))
    assert "hunter2" not in str(caught.value)


def test_without_a_webhook_nothing_is_told_and_days_are_due_at_four(read):
    settings = read()
    assert settings.storepipe_webhook_url is None
    assert settings.storepipe_dagster_url is None
    assert settings.storepipe_day_deadline == time(4)


def test_the_webhook_is_a_secret(read):
    settings = read(STOREPIPE_WEBHOOK_URL="https://hooks.example/hunter2")
    assert settings.storepipe_webhook_url.get_secret_value() == "https://hooks.example/hunter2"
    assert "hunter2" not in repr(settings)


def test_the_history_lies_in_the_home(read):
    assert read(STOREPIPE_HOME="/data").dagster_home == Path("/data/dagster")


def test_the_settings_of_a_process_are_read_once(read):
    first = module.settings()
    read(STOREPIPE_START_DATE="2024-01-01")
    assert module.settings() is first


def test_an_api_address_with_a_password_is_refused_without_telling_it(monkeypatch):
    monkeypatch.setenv("STOREPIPE_API_URL", "https://me:hunter2@store.example")
    with pytest.raises(SettingsError, match="holds a user name or password") as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["https://store.example/api?key=hunter2", "https://a.b/#hunter2"]
)
@pytest.mark.parametrize("variable", ["STOREPIPE_API_URL", "STOREPIPE_DAGSTER_URL"])
def test_an_address_with_a_query_is_refused_without_telling_it(monkeypatch, variable, address):
    monkeypatch.setenv(variable, address)
    with pytest.raises(SettingsError, match="holds a query") as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)


def test_an_empty_query_is_none(read):
    assert read(STOREPIPE_API_URL="https://store.example/?").storepipe_api_url == (
        "https://store.example"
    )


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "2200-01-01", "9999-12-31"])
def test_a_start_date_beyond_our_time_is_refused(read, day):
    with pytest.raises(SettingsError, match=r"STOREPIPE_START_DATE .* is not a day from 1970"):
        read(STOREPIPE_START_DATE=day)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("STOREPIPE_API_ULR=x", "STOREPIPE_API_ULR, which is no setting: did you mean STOREPIPE_A"),
        ("STOREPIPE_COLOUR=x", "STOREPIPE_COLOUR, which is no setting. See .env.example"),
        ("MYSQL_PASWORD=hunter2", "did you mean MYSQL_PASSWORD?"),
        ("DAGSTER_DEPLOYMNT=azure", "did you mean DAGSTER_DEPLOYMENT?"),
        ("AZURE_STORAGE_CONECTION_STRING=hunter2", "did you mean AZURE_STORAGE_CONNECTION_STRING?"),
    ],
)
def test_a_misspelt_variable_in_the_dotenv_file_is_named(read, tmp_path, line, told):
    (tmp_path / ".env").write_text(f"{line}\n")
    with pytest.raises(SettingsError) as caught:
        read()
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_variables_of_others_and_small_letters_are_no_mistake(read, tmp_path):
    lines = [
        "PATH=x",
        "AZURE_AUTHORITY_HOST=x",
        "storepipe_start_date=2024-01-01",
    ]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert read().storepipe_start_date == date(2024, 1, 1)
