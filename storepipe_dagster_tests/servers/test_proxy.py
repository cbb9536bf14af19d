"""The faults of the proxy, as clients of real servers see them."""

import socket
import threading

import pymysql
import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server
from storepipe_dagster_tests.servers.process import free_port
from storepipe_dagster_tests.servers.proxy import Proxy

LONG = b"x" * 1_000_000


@pytest.fixture
def database_proxy(mariadb):
    with Proxy(mariadb.port) as proxy:
        yield proxy


@pytest.fixture
def azure_proxy(azurite):
    with Proxy(azurite.port, http=True) as proxy:
        yield proxy


@pytest.fixture
def lake(azurite, azure_proxy):
    account = azurite.new_account(port=azure_proxy.port)
    lake = BlobServiceClient.from_connection_string(account.connection_string, retry_total=0)
    lake.create_container("raw")
    return lake


def connect(database, proxy):
    return pymysql.connect(
        host="127.0.0.1",
        port=proxy.port,
        user=database.user,
        password=database.password,
        database=database.database,
    )


def ask(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def upload(lake, name, content=b"[]"):
    lake.get_blob_client("raw", name).upload_blob(content)


def names(lake):
    return sorted(blob.name for blob in lake.get_container_client("raw").list_blobs())


def test_without_faults_everything_passes(database_proxy, mariadb_database):
    with connect(mariadb_database, database_proxy) as connection:
        ((answer,),) = ask(connection, "SELECT REPEAT('x', 1000000)")
    assert answer == LONG.decode()
    assert database_proxy.counts == {"connections": 1}


def test_new_connections_are_refused_until_it_heals(database_proxy, mariadb_database):
    with connect(mariadb_database, database_proxy) as connection:
        database_proxy.refuse()
        with pytest.raises(pymysql.OperationalError):
            connect(mariadb_database, database_proxy)
        assert database_proxy.counts["refused"] == 1
        assert ask(connection, "SELECT 1") == ((1,),)
    database_proxy.heal()
    with connect(mariadb_database, database_proxy) as connection:
        assert ask(connection, "SELECT 1") == ((1,),)


def test_live_connections_are_cut_at_once(database_proxy, mariadb_database):
    first, second = [connect(mariadb_database, database_proxy) for _ in range(2)]
    assert database_proxy.cut() == 2
    for connection in (first, second):
        with pytest.raises(pymysql.OperationalError, match=r"Lost connection|gone away"):
            ask(connection, "SELECT 1")
    assert database_proxy.counts["cut"] == 2
    with connect(mariadb_database, database_proxy) as connection:
        assert ask(connection, "SELECT 1") == ((1,),)


def test_a_waiting_client_learns_of_the_cut(database_proxy, mariadb_database):
    connection = connect(mariadb_database, database_proxy)
    threading.Timer(0.2, database_proxy.cut).start()
    with pytest.raises(pymysql.OperationalError, match="Lost connection"):
        ask(connection, "SELECT SLEEP(30)")


def test_an_answer_is_cut_in_its_middle(database_proxy, mariadb_database):
    connection = connect(mariadb_database, database_proxy)
    database_proxy.cut_after(500_000, "to_client")
    with pytest.raises(pymysql.OperationalError, match="Lost connection"):
        ask(connection, "SELECT REPEAT('x', 1000000)")
    assert database_proxy.counts["cut"] == 1


def test_a_statement_is_cut_in_its_middle(database_proxy, mariadb_database):
    connection = connect(mariadb_database, database_proxy)
    ask(connection, "CREATE TABLE kept (content LONGTEXT)")
    database_proxy.cut_after(500_000, "to_server")
    with pytest.raises(pymysql.OperationalError):
        ask(connection, f"INSERT INTO kept VALUES ('{LONG.decode()}')")
    assert database_proxy.counts["cut"] == 1
    with connect(mariadb_database, database_proxy) as connection:
        assert ask(connection, "SELECT COUNT(*) FROM kept") == ((0,),)


def test_exactly_the_bytes_before_the_cut_arrive():
    with scripted_server() as server, Proxy(server.server_port) as proxy:
        server.steps["/"] = [Step(body=LONG)]
        proxy.cut_after(123_456, "to_client")
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            received = 0
            while part := client.recv(1 << 16):
                received += len(part)
        assert received == 123_456


def test_cuts_are_repeated_as_often_as_told():
    with scripted_server() as server, Proxy(server.server_port) as proxy:
        server.steps["/"] = [Step(body=LONG)]
        proxy.cut_after(400_000, "to_client", times=2)
        for _ in range(2):
            with pytest.raises(requests.RequestException):
                requests.get(f"http://127.0.0.1:{proxy.port}/", timeout=10)
        assert requests.get(f"http://127.0.0.1:{proxy.port}/", timeout=10).content == LONG
        assert proxy.counts == {"connections": 3, "cut": 2}


def test_a_server_that_is_away_is_counted():
    with Proxy(free_port()) as proxy:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{proxy.port}/", timeout=10)
        assert proxy.counts == {"unreachable": 1}


def test_a_closed_proxy_takes_no_connection():
    with Proxy(free_port()) as proxy:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))


def test_the_next_requests_are_answered_busy(azure_proxy, lake):
    azure_proxy.answer_busy(times=2)
    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            upload(lake, "first", LONG)
        assert (caught.value.status_code, caught.value.error_code) == (503, "ServerBusy")
    upload(lake, "second", LONG)
    assert names(lake) == ["second"]
    assert azure_proxy.counts["busy"] == 2


def test_every_third_matching_request_is_answered_busy(azure_proxy, lake):
    azure_proxy.answer_busy(every=3, matching="PUT /")
    for name in ("a", "b"):
        upload(lake, name)
    assert names(lake) == ["a", "b"]
    with pytest.raises(HttpResponseError):
        upload(lake, "c")
    azure_proxy.heal()
    upload(lake, "c")
    assert names(lake) == ["a", "b", "c"]
    assert azure_proxy.counts["busy"] == 1


def test_a_question_for_the_head_is_answered_busy_without_a_body(azure_proxy, lake):
    upload(lake, "first")
    azure_proxy.answer_busy(times=1)
    with pytest.raises(HttpResponseError):
        lake.get_blob_client("raw", "first").get_blob_properties()
    assert lake.get_blob_client("raw", "first").get_blob_properties().size == 2


@pytest.mark.slow
def test_azures_own_client_gets_over_busy_answers(azurite, azure_proxy):
    account = azurite.new_account(port=azure_proxy.port)
    lake = BlobServiceClient.from_connection_string(
        account.connection_string, initial_backoff=0, increment_base=1
    )
    azure_proxy.answer_busy(every=2)
    lake.create_container("raw")
    upload(lake, "first", LONG)
    assert lake.get_blob_client("raw", "first").download_blob().readall() == LONG
    assert azure_proxy.counts["busy"] >= 1


def test_a_request_in_chunks_passes(azure_proxy, azurite):
    def chunks():
        yield b"first"
        yield b"second"

    url = f"http://127.0.0.1:{azure_proxy.port}/unknown/raw/blob"
    for busy, status in ((0, 400), (1, 503), (0, 400)):
        azure_proxy.answer_busy(times=1) if busy else azure_proxy.heal()
        assert requests.put(url, data=chunks(), timeout=10).status_code == status


def test_what_is_not_http_cannot_be_answered(database_proxy):
    with pytest.raises(ValueError, match="http=True"):
        database_proxy.answer_busy()
