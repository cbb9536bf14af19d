"""The servers of the tests: they start, serve, die, and come back with their data."""

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg2.errors
import pymysql
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from storepipe_dagster_tests.servers.azurite import Azurite, access_token
from storepipe_dagster_tests.servers.mariadb import LEAST, MariaDb
from storepipe_dagster_tests.servers.postgres import Postgres
from storepipe_dagster_tests.servers.process import ServerError, free_port

TOP = Path(__file__).parents[2]
SERVE_UNTIL_KILLED = """
import sys, time
from storepipe_dagster_tests.servers.mariadb import MariaDb
with MariaDb() as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(60)
"""


ONE_TEST = """
def test_that_ends_badly(mariadb, own_mariadb):
    for server in (mariadb, own_mariadb):
        print("server", server.pid, server.folder)
    {ending}
"""
TWO_WORKERS = """
import os
from pathlib import Path
import pytest

HERE = Path(__file__).parent

@pytest.mark.parametrize("number", range(4))
def test_that_sees_a_server(mariadb, azurite, number):
    assert mariadb.execute("SELECT 1") == ((1,),)
    account = azurite.new_account()
    (HERE / f"seen-{number}").write_text(
        f"{os.getpid()} {mariadb.pid} {mariadb.folder} {account.name}"
    )
    if number == 0:
        os._exit(9)
"""


def connect(database, **options):
    return pymysql.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        database=database.database,
        autocommit=True,
        **options,
    )


def ask(database, sql, **options):
    with connect(database, **options) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_what_was_committed_outlives_a_kill(own_database_server):
    database = own_database_server.create_database()
    ask(database, "CREATE TABLE kept (id INT)")
    ask(database, "INSERT INTO kept VALUES (1), (2)")
    open_connection = connect(database)
    open_connection.begin()
    open_connection.query("INSERT INTO kept VALUES (3)")
    own_database_server.kill()
    assert not own_database_server.running
    with pytest.raises(pymysql.OperationalError, match="Can't connect"):
        connect(database)
    own_database_server.start()
    assert ask(database, "SELECT id FROM kept ORDER BY id") == ((1,), (2,))


def test_each_database_has_a_user_of_its_own(database_server):
    mine, theirs = database_server.create_database(), database_server.create_database()
    ask(theirs, "CREATE TABLE secret (id INT)")
    with pytest.raises(pymysql.OperationalError, match="denied"):
        ask(mine, f"SELECT * FROM {theirs.database}.secret")
    assert mine.password not in repr(mine)


def test_the_least_grants_allow_no_drop(database_server):
    database = database_server.create_database(grants=LEAST)
    ask(database, "CREATE TABLE kept (id INT)")
    with pytest.raises(pymysql.OperationalError, match="DROP command denied"):
        ask(database, "DROP TABLE kept")


def test_local_files_are_taken(database_server):
    assert database_server.execute("SELECT @@local_infile, @@innodb_flush_log_at_trx_commit") == (
        (1, 1),
    )


def test_the_certificate_vouches_for_this_machine(database_server, authority):
    database = database_server.create_database(require_tls=True)
    verified = {"ssl_ca": str(authority.path), "ssl_verify_cert": True, "ssl_verify_identity": True}
    ((_, cipher),) = ask(database, "SHOW STATUS LIKE 'Ssl_cipher'", **verified)
    assert cipher
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        connect(database, ssl_disabled=True)


@pytest.mark.parametrize(
    ("hosts", "expired", "told"),
    [
        ([], True, "certificate has expired"),
        (["store.invalid"], False, "not valid for '127.0.0.1'"),
    ],
)
def test_a_bad_certificate_is_refused(authority, hosts, expired, told):
    with MariaDb(authority.issue(*hosts, expired=expired)) as server:
        database = server.create_database()
        context = ssl.create_default_context(cafile=authority.path)
        with pytest.raises(pymysql.OperationalError, match=told):
            connect(database, ssl=context)


@pytest.mark.slow
def test_mysql_users_log_in_with_caching_sha2_password(mysql, mysql_database):
    plugin = mysql.execute("SELECT plugin FROM mysql.user WHERE user = %s", [mysql_database.user])
    assert plugin == (("caching_sha2_password",),)
    # Without TLS the password travels encrypted by the server's RSA key.
    assert ask(mysql_database, "SELECT 1", ssl_disabled=True) == ((1,),)


def test_mariadb_comes_up_with_its_own_character_set(mariadb):
    assert mariadb.execute("SELECT @@global.character_set_server") == (("latin1",),)


def test_postgres_keeps_what_was_committed_and_its_databases_apart():
    with Postgres() as postgres:
        mine, theirs = postgres.create_database(), postgres.create_database()
        mine.ask("CREATE TABLE kept AS SELECT 1 AS id")
        postgres.kill()
        with pytest.raises(psycopg2.OperationalError, match="Connection refused"):
            mine.ask("SELECT 1")
        postgres.start()
        assert mine.ask("SELECT id FROM kept") == [(1,)]
        with pytest.raises(psycopg2.errors.UndefinedTable):
            theirs.ask("SELECT id FROM kept")
    assert mine.password not in repr(mine)


@pytest.mark.slow
def test_a_stopped_azurite_keeps_its_blobs():
    with Azurite() as azurite:
        lake = BlobServiceClient.from_connection_string(azurite.new_account().connection_string)
        lake.create_container("raw").upload_blob("carts.json", b"[]")
        azurite.stop()
        azurite.start()
        assert lake.get_blob_client("raw", "carts.json").download_blob().readall() == b"[]"


@pytest.mark.slow
def test_a_killed_azurite_serves_again_on_its_port():
    with Azurite() as azurite:
        azurite.kill()
        azurite.start()
        lake = BlobServiceClient.from_connection_string(azurite.connection_string)
        lake.create_container("raw")
        assert [container.name for container in lake.list_containers()] == ["raw"]


def test_each_azure_account_starts_empty(azurite, azure_account):
    lake = BlobServiceClient.from_connection_string(azure_account)
    lake.create_container("raw")
    other = azurite.new_account()
    fresh = BlobServiceClient.from_connection_string(other.connection_string)
    assert list(fresh.list_containers()) == []
    assert other.key not in repr(other)


def test_azurite_refuses_a_wrong_key(azurite):
    account, other = azurite.new_account(), azurite.new_account()
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        BlobServiceClient(account.endpoint, credential=other.key).get_account_information()


class Login:
    def __init__(self, seconds):
        self.seconds = seconds

    def get_token(self, *_, **__):
        return AccessToken(access_token(seconds=self.seconds), int(time.time()) + 3600)


def test_azurite_takes_access_tokens_over_https(secure_azurite, authority):
    account = secure_azurite.new_account()
    options = {"connection_verify": str(authority.path), "retry_total": 0}
    lake = BlobServiceClient(account.endpoint, credential=Login(3600), **options)
    lake.create_container("raw")
    assert [container.name for container in lake.list_containers()] == ["raw"]
    late = BlobServiceClient(account.endpoint, credential=Login(-30), **options)
    with pytest.raises(HttpResponseError, match="Lifetime validation failed"):
        late.create_container("trusted")


def test_two_servers_do_not_meet(mariadb, own_mariadb, azurite, secure_azurite):
    assert len({server.port for server in (mariadb, own_mariadb, azurite, secure_azurite)}) == 4
    own_mariadb.create_database("only_here")
    assert mariadb.execute("SHOW DATABASES LIKE 'only_here'") == ()


def test_a_server_keeps_its_temporary_files_to_itself(database_server):
    # Else the next server that starts removes them.
    ((folder,),) = database_server.execute("SELECT @@tmpdir")
    assert Path(folder) == database_server.temporary


def test_the_folder_of_a_server_is_removed_with_it():
    with MariaDb() as server:
        assert server.data.is_dir()
    assert not server.folder.exists()


def test_a_server_that_cannot_start_shows_its_log():
    server = MariaDb(None, "--no-such-option")
    with pytest.raises(ServerError, match="unknown option '--no-such-option'"), server:
        pass
    assert not server.folder.exists()


def test_a_server_is_not_started_twice(own_mariadb):
    with pytest.raises(ServerError, match="runs already"):
        own_mariadb.start()


@pytest.mark.parametrize("change", ["start", "stop", "kill"])
def test_a_server_of_all_tests_is_started_and_ended_by_none(mariadb, change):
    with pytest.raises(ServerError, match="this mariadb serves other tests as well"):
        getattr(mariadb, change)()
    assert mariadb.execute("SELECT 1") == ((1,),)


def test_a_server_started_by_a_thread_outlives_the_thread():
    with MariaDb() as server:
        server.kill()
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        time.sleep(0.2)
        assert server.execute("SELECT 1") == ((1,),)


def run_pytest(*arguments):
    """Run tests that have our servers, and none of our other fixtures."""
    plugin = "storepipe_dagster_tests.servers.fixtures"
    folder = arguments[-1].parent
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", plugin, "-c", os.devnull, *arguments],
        cwd=folder,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_workers_share_a_server_that_outlives_a_crash_of_one_and_ends_with_the_run(tmp_path):
    test = tmp_path / "test_two.py"
    test.write_text(TWO_WORKERS)
    done = run_pytest("--numprocesses=2", "--dist=load", test)
    assert "1 failed, 3 passed" in done.stdout
    seen = [path.read_text().split() for path in sorted(tmp_path.glob("seen-*"))]
    workers, pids, folders, accounts = (set(column) for column in zip(*seen, strict=True))
    assert len(workers) > 1
    assert len(accounts) == 4
    [pid], [folder] = pids, folders
    assert not psutil.pid_exists(int(pid))
    assert not Path(folder).exists()


@pytest.mark.parametrize("ending", ["assert False", "raise KeyboardInterrupt"])
def test_servers_end_with_a_test_run_that_fails(tmp_path, ending):
    test = tmp_path / "test_one.py"
    test.write_text(ONE_TEST.format(ending=ending))
    done = run_pytest("-s", test)
    assert done.returncode != 0
    servers = re.findall(r"^.*server (\d+) (/\S+)$", done.stdout, re.MULTILINE)
    assert len(servers) == 2
    for pid, folder in servers:
        assert not psutil.pid_exists(int(pid))
        assert not Path(folder).exists()


def test_no_server_outlives_a_killed_test_run():
    with subprocess.Popen(
        [sys.executable, "-c", SERVE_UNTIL_KILLED], cwd=TOP, stdout=subprocess.PIPE, text=True
    ) as run:
        pid, folder = run.stdout.readline().split()
        assert psutil.Process(int(pid)).name() == "mariadbd"
        run.send_signal(signal.SIGKILL)
        run.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(pid))
    subprocess.run(["rm", "-r", folder], check=True)


def test_a_free_port_is_below_those_of_outgoing_connections():
    first, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert 1024 < free_port() < int(first)
