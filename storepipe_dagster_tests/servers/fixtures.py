"""The servers as pytest fixtures: each is started once in a run, by the first test that wants it.

They serve the tests of all workers at the same time. Who kills a server, or changes what all of its
users see, takes one of its own: `own_database_server`, or a server in a `with` block.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from storepipe_dagster_tests.servers.azurite import Azurite
from storepipe_dagster_tests.servers.certificates import Authority
from storepipe_dagster_tests.servers.install import WITHOUT_MYSQL, find
from storepipe_dagster_tests.servers.mariadb import Database, MariaDb
from storepipe_dagster_tests.servers.mysql import MySql
from storepipe_dagster_tests.servers.postgres import Postgres, PostgresDatabase
from storepipe_dagster_tests.servers.shared import SharedServers, ask

SERVERS = pytest.StashKey[SharedServers]()
ADDRESS = "shared_servers"
# What a test proves on MySQL it proves on MariaDB too, and quickly.
DATABASE_SERVERS = ["mariadb", pytest.param("mysql", marks=pytest.mark.slow)]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[SERVERS] = SharedServers()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where to ask."""
    node.workerinput[ADDRESS] = node.config.stash[SERVERS].address


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVERS in config.stash:
        config.stash[SERVERS].close()


def need_mysql() -> None:
    """Leave a test of MySQL out where it cannot be had; the run tells so in its last line."""
    if find("mysqld") is None:
        pytest.skip(WITHOUT_MYSQL)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """Gives what all tests of the run share, by its name."""
    if SERVERS in pytestconfig.stash:
        return pytestconfig.stash[SERVERS].get
    address = pytestconfig.workerinput[ADDRESS]
    return lambda what: ask(address, what)


@pytest.fixture(scope="session")
def authority(shared: Callable[[str], Any]) -> Authority:
    """Who vouches for the certificates of these servers; its `path` is for MYSQL_SSL_CA."""
    return shared("authority")


@pytest.fixture(scope="session")
def mariadb(shared: Callable[[str], Any]) -> MariaDb:
    """The MariaDB server of the run."""
    return shared("mariadb")


@pytest.fixture
def mariadb_database(mariadb: MariaDb) -> Database:
    """An empty database on MariaDB, with a user of its own who may do all in it."""
    return mariadb.create_database()


@pytest.fixture(scope="session")
def mysql(shared: Callable[[str], Any]) -> MySql:
    """The MySQL server of the run."""
    need_mysql()
    return shared("mysql")


@pytest.fixture
def mysql_database(mysql: MySql) -> Database:
    """An empty database on MySQL, with a user of its own who may do all in it."""
    return mysql.create_database()


@pytest.fixture(scope="session", params=DATABASE_SERVERS)
def database_server(request: pytest.FixtureRequest) -> MariaDb:
    """Run the test once on each server."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def own_mariadb(authority: Authority) -> Iterator[MariaDb]:
    """A MariaDB server that no other worker uses; who kills it starts it again."""
    with MariaDb(authority.issue()) as server:
        yield server


@pytest.fixture(scope="session")
def own_mysql(authority: Authority) -> Iterator[MySql]:
    """A MySQL server that no other worker uses; who kills it starts it again."""
    need_mysql()
    with MySql(authority.issue()) as server:
        yield server


@pytest.fixture(scope="session", params=DATABASE_SERVERS)
def own_database_server(request: pytest.FixtureRequest) -> MariaDb:
    """Run the test once on each server; it may change and kill it."""
    return request.getfixturevalue(f"own_{request.param}")


@pytest.fixture(scope="session")
def postgres(shared: Callable[[str], Any]) -> Postgres:
    """The PostgreSQL server of the run."""
    return shared("postgres")


@pytest.fixture
def postgres_database(postgres: Postgres) -> PostgresDatabase:
    """An empty database on PostgreSQL, with a user of its own who owns it."""
    return postgres.create_database()


@pytest.fixture(scope="session")
def azurite(shared: Callable[[str], Any]) -> Azurite:
    """The Azurite of the run."""
    return shared("azurite")


@pytest.fixture(scope="session")
def secure_azurite(shared: Callable[[str], Any]) -> Azurite:
    """The run's Azurite that takes tokens, as it does only over HTTPS; by Azure's names too."""
    return shared("secure_azurite")


@pytest.fixture
def azure_account(azurite: Azurite) -> str:
    """The connection string of an account that nobody used before."""
    return azurite.new_account().connection_string
