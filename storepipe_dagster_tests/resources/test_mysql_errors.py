"""Tests of `storepipe_dagster.resources.mysql_errors`, on errors as PyMySQL makes them."""

import socket
import ssl

import pymysql
import pytest
import sqlalchemy as sa
from pymysql.err import raise_mysql_exception

from storepipe_dagster.resources.mysql_errors import (
    explain,
    is_missing_table,
    is_passing,
    missing_right,
)

HOST, PORT, USER, DATABASE = "db.example", 3306, "clerk", "store"
DENIED = "command denied to user 'clerk'@'10.0.0.7' for table"


def answered(number, message=""):
    """The error that PyMySQL makes of a server's answer."""
    packet = b"\xff" + number.to_bytes(2, "little") + b"#HY000" + message.encode()
    with pytest.raises(pymysql.MySQLError) as caught:
        raise_mysql_exception(packet)
    return caught.value


def refused_by(monkeypatch, network_error):
    """The error that PyMySQL makes of a network that raises one."""

    def connect(*_, **__):
        raise network_error

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(pymysql.MySQLError) as caught:
        pymysql.connect(host=HOST, user=USER, password="hunter2")
    return caught.value


def untrusted(code):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


def lost_by(network_error):
    """The error that PyMySQL makes of a connection that breaks while it reads."""

    class Broken:
        def read(self, _):
            raise network_error

        def close(self):
            pass

    connection = pymysql.Connection(defer_connect=True)
    connection._rfile = Broken()
    with pytest.raises(pymysql.MySQLError) as caught:
        connection._read_bytes(4)
    return caught.value


def explained(error):
    return explain(error, HOST, PORT, USER, DATABASE)


def wrapped(error):
    return sa.exc.DBAPIError.instance("INSERT …", {}, error, pymysql.MySQLError)


@pytest.mark.parametrize(
    ("number", "what", "remedy"),
    [
        (1020, "another transaction", "Run again"),
        (1021, "no room left", "Make some"),
        (1040, "all the connections", "max_connections"),
        (1044, "no database 'store' that 'clerk' may use", "GRANT SELECT"),
        (1045, "refuses the password of 'clerk'", "MYSQL_USER and MYSQL_PASSWORD"),
        (1049, "no database 'store'", "CREATE DATABASE `store`"),
        (1053, "shutting down", "once it is back"),
        (1114, "no room left", "Make some"),
        (1129, "blocked this machine", "FLUSH HOSTS"),
        (1130, "no connections from this machine", "firewall"),
        (1148, "LOAD DATA LOCAL", "local_infile=ON"),
        (1153, "so big", "max_allowed_packet"),
        (1203, "no more connections", "max_user_connections"),
        (1205, "lock", "Run again"),
        (1213, "deadlock", "Run again"),
        (1226, "no more for now", "limits"),
        (1290, "read-only", "MYSQL_HOST"),
        (1820, "expired", "new one"),
        (1927, "ended the connection", "Run again"),
        (3118, "locked the account 'clerk'", "ACCOUNT UNLOCK"),
        (3159, "TLS connections only", "MYSQL_SSL_CA"),
        (4151, "locked the account 'clerk'", "ACCOUNT UNLOCK"),
    ],
)
def test_an_answer_of_the_server_is_explained_with_what_to_do(number, what, remedy):
    told = explained(answered(number, "hunter2"))

    assert told.startswith("MySQL at db.example:3306 ")
    assert what in told
    assert remedy in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("network_error", "what", "remedy"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), "There is no host 'db.example'", "MYSQL_HOST"),
        (socket.gaierror(socket.EAI_AGAIN, ""), "name service does not answer", "MYSQL_HOST"),
        (ConnectionRefusedError(111, ""), "nobody listens there", "MYSQL_PORT"),
        (ConnectionResetError(104, ""), "the connection was cut", "MYSQL_PORT"),
        (ssl.SSLError(1, "wrong version"), "TLS failed", "MYSQL_PORT"),
        (TimeoutError("timed out"), "no answer", "firewall"),
        (OSError(113, "No route to host"), "No route to host", "MYSQL_HOST"),
        (untrusted(10), "The certificate of MySQL at db.example:3306 has expired", "Renew"),
        (untrusted(9), "is not valid yet", "clocks"),
        (untrusted(62), "another host name", "MYSQL_HOST"),
        (untrusted(64), "another address", "MYSQL_HOST"),
        (untrusted(19), "authority", "MYSQL_SSL_CA"),
        (untrusted(20), "authority", "MYSQL_SSL_CA"),
    ],
    ids=str,
)
def test_a_failure_to_connect_is_explained_with_what_to_do(
    monkeypatch, network_error, what, remedy
):
    told = explained(refused_by(monkeypatch, network_error))

    assert what in told
    assert "db.example" in told
    assert remedy in told


def test_a_server_without_tls_is_told_from_a_wrong_certificate():
    told = explained(pymysql.OperationalError(2026, "SSL is required but …"))

    assert "offers no TLS, which MYSQL_SSL_CA asks for" in told


def test_a_lost_connection_and_a_silent_server_are_told_apart():
    assert "has closed the connection" in explained(lost_by(ConnectionResetError(104, "reset")))
    assert "has closed the connection" in explained(pymysql.InterfaceError(0, ""))
    assert "did not answer in time" in explained(lost_by(TimeoutError("timed out")))


def test_what_is_not_mysql_is_told():
    error = pymysql.InternalError("Packet sequence number wrong - got 45 expected 0")

    assert explained(error) == (
        "What answers instead of MySQL at db.example:3306 is something else. "
        "Check MYSQL_HOST and MYSQL_PORT."
    )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(2, "No such file or directory"), "cannot be read: No such file"),
        (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
        (ssl.SSLError(136, "no certificate or crl found"), "holds no certificate"),
    ],
    ids=["absent", "forbidden", "no certificate"],
)
def test_a_file_of_authorities_that_cannot_be_used_is_told(error, told):
    assert explained(error).startswith("The file that MYSQL_SSL_CA names ")
    assert told in explained(error)


def test_a_login_that_needs_a_package_names_it():
    error = RuntimeError("'cryptography' package is required for caching_sha2_password")

    assert "needs the Python package cryptography" in explained(error)


def test_a_missing_right_is_named():
    error = answered(1142, f"INSERT, DELETE {DENIED} `store`.`cart_items`")

    assert missing_right(error) == "INSERT, DELETE on cart_items"
    assert "does not give 'clerk' the right to INSERT, DELETE on cart_items" in explained(error)


@pytest.mark.parametrize("table", ["'carts'", "`store`.`carts`", "`carts`"])
def test_a_missing_right_is_read_from_mysql_and_from_mariadb(table):
    assert missing_right(answered(1142, f"CREATE {DENIED} {table}")) == "CREATE on carts"


def test_other_errors_name_no_right():
    assert missing_right(answered(1146, "Table 'store.carts' doesn't exist")) is None
    assert missing_right(OSError()) is None


def test_a_missing_table_is_told_from_others():
    assert is_missing_table(wrapped(answered(1146, "Table 'store.carts' doesn't exist")))
    assert not is_missing_table(answered(1142))
    assert not is_missing_table(OSError())


@pytest.mark.parametrize(
    "message",
    ["Duplicate entry 'ann@example' for key 'PRIMARY'", "near ''it''s', 'ann@example')' at line 1"],
)
def test_an_unknown_error_is_told_by_number_and_without_the_values_of_rows(message):
    told = explained(answered(1062, message))

    assert "error 1062" in told
    assert "example)" not in told
    assert "ann" not in told


def test_an_error_without_number_is_explained():
    told = explained(pymysql.OperationalError("received unknown auth switch request"))

    assert "received unknown auth switch request" in told


@pytest.mark.parametrize(
    "number",
    [1020, 1040, 1053, 1180, 1203, 1205, 1213, 1412, 1927, 2006, 2013, 2055, 4031],
)
def test_a_transaction_may_be_tried_again_after_what_passes(number):
    assert is_passing(pymysql.OperationalError(number, ""))
    assert is_passing(wrapped(pymysql.OperationalError(number, "")))


@pytest.mark.parametrize(
    "number",
    [1021, 1044, 1045, 1049, 1054, 1062, 1064, 1114, 1142, 1146, 1153, 1264, 1290, 1406, 2026],
)
def test_a_transaction_is_not_tried_again_after_what_stays(number):
    assert not is_passing(answered(number))
    assert not is_passing(wrapped(answered(number)))


@pytest.mark.parametrize(
    ("network_error", "passing"),
    [
        (ConnectionRefusedError(111, ""), True),
        (ConnectionResetError(104, ""), True),
        (TimeoutError("timed out"), True),
        (OSError(113, "No route to host"), True),
        (socket.gaierror(socket.EAI_AGAIN, ""), True),
        (socket.gaierror(socket.EAI_NONAME, ""), False),
        (ssl.SSLEOFError(8, "EOF"), True),
        (untrusted(10), False),
        (ssl.SSLError(1, "wrong version number"), False),
    ],
    ids=str,
)
def test_a_server_that_may_come_back_is_tried_again(monkeypatch, network_error, passing):
    assert is_passing(refused_by(monkeypatch, network_error)) == passing


def test_a_connection_that_the_driver_closed_is_tried_again():
    assert is_passing(pymysql.InterfaceError(0, ""))


@pytest.mark.parametrize("error", [ValueError(), FileNotFoundError(), RuntimeError()], ids=repr)
def test_an_error_of_our_own_is_not_tried_again(error):
    assert not is_passing(error)


def in_a_chain(error, *, suppressed):
    """An error of ours that was raised while another was handled."""
    ours = ValueError("load failed")
    ours.__context__ = error
    ours.__suppress_context__ = suppressed
    return ours


def test_the_reason_is_found_in_a_chain_of_errors():
    error = in_a_chain(wrapped(answered(1213)), suppressed=False)

    assert is_passing(error)
    assert "deadlock" in explained(error)


def test_a_reason_that_was_set_aside_does_not_count():
    assert not is_passing(in_a_chain(answered(1213), suppressed=True))
