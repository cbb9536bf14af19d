"""The servers as pytest fixtures: each is started once, by the first test that wants it."""

from collections.abc import Iterator

import pytest

from storepipe_dagster_tests.servers.azurite import Azurite
from storepipe_dagster_tests.servers.certificates import Authority
from storepipe_dagster_tests.servers.mariadb import Database, MariaDb
from storepipe_dagster_tests.servers.mysql import MySql
from storepipe_dagster_tests.servers.postgres import Postgres, PostgresDatabase


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the certificates of these servers; its `path` is for MYSQL_SSL_CA."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def mariadb(authority: Authority) -> Iterator[MariaDb]:
    """A MariaDB server that all tests share; who kills it starts it again."""
    with MariaDb(authority.issue()) as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb: MariaDb) -> Database:
    """An empty database on MariaDB, with a user of its own who may do all in it."""
    return mariadb.create_database()


@pytest.fixture(scope="session")
def mysql(authority: Authority) -> Iterator[MySql]:
    """A MySQL server that all tests share; who kills it starts it again."""
    with MySql(authority.issue()) as server:
        yield server


@pytest.fixture
def mysql_database(mysql: MySql) -> Database:
    """An empty database on MySQL, with a user of its own who may do all in it."""
    return mysql.create_database()


@pytest.fixture(scope="session", params=["mariadb", "mysql"])
def database_server(request: pytest.FixtureRequest) -> MariaDb:
    """Run the test once on each server."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that all tests share; who kills it starts it again."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_database(postgres: Postgres) -> PostgresDatabase:
    """An empty database on PostgreSQL, with a user of its own who owns it."""
    return postgres.create_database()


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """An Azurite that all tests share; who stops it starts it again."""
    with Azurite() as server:
        yield server


@pytest.fixture
def azure_account(azurite: Azurite) -> str:
    """The connection string of an account that nobody used before."""
    return azurite.new_account().connection_string
