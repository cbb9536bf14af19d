"""What an error of MySQL, of its driver or of the network to it means, and what to do about it.

Pure functions on exceptions; who connects, and how often a transaction is tried, is not here.
"""

import re
import socket
import ssl
from collections.abc import Iterator

import pymysql  # type: ignore[import-untyped]
import sqlalchemy as sa

from storepipe_dagster.resources.network_errors import explain_network

NO_CONNECTION = {2002, 2003}
LOST = {2006, 2013, 2055}
CLOSED_EARLIER = 0  # PyMySQL's InterfaceError(0, '')
WORTH_ANOTHER_TRY = {
    CLOSED_EARLIER,
    *LOST,
    1020,  # a record has changed since it was read (MariaDB's snapshots)
    1040,  # too many connections
    1053,  # the server is shutting down
    1077,  # the same, in other words
    1158,  # the server failed to read from the network, or to write to it, or not in time
    1159,
    1160,
    1161,
    1180,  # an error during COMMIT: the conflict of a cluster
    1203,  # too many connections of this user
    1205,  # waited too long for a lock
    1213,  # deadlock
    1412,  # the definition of a table has changed meanwhile
    1637,  # too many transactions at once
    1927,  # the connection was killed (MariaDB)
    3101,  # rolled back by the replication of a group (MySQL)
    4031,  # disconnected because nothing was asked for long (MySQL)
}
CLEAR_PASSWORD = 2061  # an authentication plugin of the client reports an error
MISSING_RIGHT = {1142, 1143, 1370}
NO_TABLE = 1146

NO_SPACE = "{server} has no room left on its disk. Make some there."
READ_ONLY = "{server} is read-only. Check that MYSQL_HOST is the primary server and no replica."
EXPIRED = "{server} says that the password of {user!r} has expired. Set a new one there and here."
LOCKED = "{server} has locked the account {user!r}. Unlock it there: ALTER USER … ACCOUNT UNLOCK."
NO_LOCAL_FILES = "{server} does not allow LOAD DATA LOCAL. Set local_infile=ON there."
OTHER_LOGIN = (
    "{server} asks for a login that PyMySQL does not know. "
    "Give the account {user!r} another authentication plugin there."
)
SILENT = (
    "{server} took the connection and then did not answer in time. Check that MYSQL_PORT is that "
    "of a MySQL server, and how busy it is."
)
CLOSED = "{server} has closed the connection. Check that it runs, then run again."
NOT_MYSQL = "What answers instead of {server} is something else. Check MYSQL_HOST and MYSQL_PORT."
GRANT = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `{database}`.* to that account."
NO_RIGHT = "{server} does not give {user!r} the right to {right}. Grant it there: " + GRANT
OTHER = "{server} answered with error {number}: {message}."
MEANINGS = {
    1020: "{server} saw another transaction change a record that this one had read. Run again.",
    1021: NO_SPACE,
    1040: "{server} has all the connections that it allows. "
    "Close some, or raise max_connections there.",
    1044: "{server} has no database {database!r} that {user!r} may use. Check MYSQL_DATABASE, or "
    + GRANT,
    1045: "{server} refuses the password of {user!r}, or has no such user for this machine. "
    "Check MYSQL_USER and MYSQL_PASSWORD.",
    1049: "{server} has no database {database!r}. Check MYSQL_DATABASE, or make it: "
    "CREATE DATABASE `{database}` CHARACTER SET utf8mb4.",
    1053: "{server} is shutting down. Run again once it is back.",
    1114: NO_SPACE,
    1129: "{server} has blocked this machine after many connections that failed. "
    "Unblock it there: FLUSH HOSTS.",
    1130: "{server} takes no connections from this machine. Make an account {user!r} there for "
    "this machine's address, and check its firewall.",
    1148: NO_LOCAL_FILES,
    1153: "{server} does not take a statement so big. Raise max_allowed_packet there.",
    1203: "{server} allows {user!r} no more connections. "
    "Close some, or raise max_user_connections there.",
    1205: "{server} waited too long for a lock that another transaction holds. Run again.",
    1213: "{server} found a deadlock with another transaction. Run again.",
    1226: "{server} allows {user!r} no more for now. Close connections of that account, or raise "
    "its limits there.",
    1251: OTHER_LOGIN,
    1290: READ_ONLY,
    1820: EXPIRED,
    1836: READ_ONLY,
    1862: EXPIRED,
    1927: "{server} has ended the connection. Run again.",
    2026: "{server} offers no TLS, which MYSQL_SSL_CA asks for. Switch TLS on there, or unset "
    "MYSQL_SSL_CA if the network in between can be trusted.",
    2059: OTHER_LOGIN,
    CLEAR_PASSWORD: "{server} asks for the password in clear, which it gets only if TLS proves who "
    "it is: set MYSQL_SSL_CA, or give the account {user!r} another authentication plugin there.",
    3118: LOCKED,
    3159: "{server} takes TLS connections only. Set MYSQL_SSL_CA to its authority's certificate.",
    3948: NO_LOCAL_FILES,
    4151: LOCKED,
    4166: NO_LOCAL_FILES,
}


def explain(error: BaseException, host: str, port: int, user: str, database: str) -> str:
    """What is wrong and what to do, naming the variables; no password and no value of a row."""
    server = f"MySQL at {host}:{port}"
    cause = _driver_error(error)
    if cause is None:
        return _explain_before_connecting(error, server)
    number, message = _number(cause), _message(cause)
    origin = _network_error(cause)
    if number in NO_CONNECTION:
        return explain_network(
            origin, server, host, "MYSQL_HOST and MYSQL_PORT", authorities="MYSQL_SSL_CA"
        )
    if number == CLOSED_EARLIER or number in LOST:
        meaning = SILENT if isinstance(origin, TimeoutError) else CLOSED
    elif "Packet sequence number wrong" in message:
        meaning = NOT_MYSQL
    elif number in MISSING_RIGHT:
        meaning = NO_RIGHT
    else:
        meaning = MEANINGS.get(number, OTHER)
    return meaning.format(
        server=server,
        user=user,
        database=database,
        right=missing_right(error),
        number=number,
        message=_without_values(message),
    )


def is_passing(error: BaseException) -> bool:
    """Whether the whole transaction may succeed if it is tried again and nothing else changes.

    A lost connection may hide a commit that succeeded: only transactions that can be repeated
    should be.
    """
    cause = _driver_error(error)
    if cause is None:
        return False
    if _number(cause) not in NO_CONNECTION:
        return _number(cause) in WORTH_ANOTHER_TRY
    origin = _network_error(cause)
    if isinstance(origin, socket.gaierror):
        return origin.errno == socket.EAI_AGAIN
    if isinstance(origin, ssl.SSLError):
        return isinstance(origin, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return True


def missing_right(error: BaseException) -> str | None:
    """Which right the server says is missing, such as ``INSERT on carts``."""
    cause = _driver_error(error)
    if cause is None or _number(cause) not in MISSING_RIGHT:
        return None
    # INSERT command denied to user 'clerk'@'host' for table `store`.`carts`
    words = _message(cause).split(" command denied to user ")
    table = re.split(r"[.\s]", words[-1])[-1].strip("`'")
    return f"{words[0].upper()} on {table}"


def is_missing_table(error: BaseException) -> bool:
    """Whether the statement failed only because its table is not there."""
    cause = _driver_error(error)
    return cause is not None and _number(cause) == NO_TABLE


def _explain_before_connecting(error: BaseException, server: str) -> str:
    """What the driver stumbled over on this machine."""
    told = str(error)
    if isinstance(error, RuntimeError) and ("cryptography" in told or "pynacl" in told):
        package = "cryptography" if "cryptography" in told else "pynacl"
        return (
            f"{server} asks for a login that needs the Python package {package}, which is not "
            "installed here. Install it (make install does), or connect with TLS: MYSQL_SSL_CA."
        )
    if isinstance(error, UnicodeEncodeError):
        return "MYSQL_PASSWORD has a character that PyMySQL cannot send. Choose another password."
    if isinstance(error, ssl.SSLError):
        return "The file that MYSQL_SSL_CA names holds no certificate (PEM). Name the CA's file."
    if isinstance(error, OSError):
        return f"The file that MYSQL_SSL_CA names cannot be read: {error.strerror}. Name the CA's."
    return f"{server} cannot be used: {type(error).__name__}. Check the MYSQL_… variables."


def _driver_error(error: BaseException) -> pymysql.MySQLError | None:
    """PyMySQL's error in what SQLAlchemy and our own code have wrapped around it."""
    return next((link for link in _chain(error) if isinstance(link, pymysql.MySQLError)), None)


def _network_error(error: pymysql.MySQLError) -> BaseException | None:
    """The error of the operating system that PyMySQL made its own of."""
    original: BaseException | None = getattr(error, "original_exception", None)
    return original or next((link for link in _chain(error) if isinstance(link, OSError)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made of, outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        wrapped = link.orig if isinstance(link, sa.exc.DBAPIError) else None
        before = None if link.__suppress_context__ else link.__context__
        link = wrapped or link.__cause__ or before


def _number(error: pymysql.MySQLError) -> int:
    """The error's number; PyMySQL gives some of its own none: -1."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else -1


def _message(error: pymysql.MySQLError) -> str:
    return str(error.args[-1]) if error.args else ""


def _without_values(message: str) -> str:
    """The values of a statement stand between quotes, and may have quotes in them."""
    return re.sub(r"'.*'", "'…'", message, flags=re.DOTALL).rstrip(".")
