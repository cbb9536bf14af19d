"""The database of the azure deployment: MySQL or MariaDB."""

import re
from typing import Any

import pymysql  # type: ignore[import-untyped]

from storepipe_dagster.doctor import SECONDS, TroubleError
from storepipe_dagster.doctor.clocks import skew_from
from storepipe_dagster.layers.mysql.schemas import CART_ITEMS, METADATA
from storepipe_dagster.resources.mysql import connect_arguments
from storepipe_dagster.resources.mysql_bulk import BulkConnection
from storepipe_dagster.resources.mysql_errors import (
    NO_RIGHT,
    explain,
    is_missing_table,
    is_passing,
    missing_right,
)
from storepipe_dagster.settings import Settings

LEAST = {"MySQL": (8, 0), "MariaDB": (10, 6)}
# None of these changes a thing. The server looks at the rights first, then for the table: without
# the right they fail with that, with it they do nothing or fail for want of a table.
DO_NOTHING = (
    "SELECT 1 FROM `{table}` LIMIT 0",
    "INSERT INTO `{table}` SELECT * FROM `{table}` WHERE 1 = 0",
    "UPDATE `{table}` SET `{column}` = `{column}` WHERE 1 = 0",
    "DELETE FROM `{table}` WHERE 1 = 0",
)
# Refused before the server looks for the table; what is in between sees the statement only.
LOAD_NOTHING = f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE `{CART_ITEMS.name}`"
SLOWER = (
    "no LOAD DATA LOCAL: it is refused with error {number}, so loads use INSERT, which is slower; "
    "set local_infile=ON on the server, and let a proxy in between pass the statement on"
)
CREATE = "PREPARE doctor FROM 'CREATE TABLE `{table}` (`{column}` INT)'"  # not executed


def check(settings: Settings) -> str:
    """We may log in and do all that a run does, in a version that we know."""
    host, port = str(settings.mysql_host), settings.mysql_port
    user, database = str(settings.mysql_user), str(settings.mysql_database)
    password = settings.mysql_password.get_secret_value() if settings.mysql_password else ""
    authorities = str(settings.mysql_ssl_ca) if settings.mysql_ssl_ca else None
    server = f"MySQL at {host}:{port}"
    timeouts = {f"{what}_timeout": SECONDS for what in ("connect", "read", "write")}
    try:
        arguments = connect_arguments(host, port, user, password, database, authorities)
        with BulkConnection(SECONDS, **arguments | timeouts, local_infile=True) as connection:
            version = _version(connection, server)
            if missing := _missing_rights(connection):
                right = ", ".join(missing)
                raise TroubleError(
                    NO_RIGHT.format(server=server, user=user, right=right, database=database)
                )
            tls = _tls(connection, verified=authorities is not None)
            skew = skew_from(_ask(connection, "SELECT UTC_TIMESTAMP(6)"))
            return f"{server} ({version}, {tls}, {_loading(connection)}){skew}"
    except (pymysql.MySQLError, OSError, RuntimeError, UnicodeError) as error:
        raise TroubleError(explain(error, host, port, user, database)) from None


def _ask(connection: Any, query: str) -> Any:
    """The last value of the first row."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[-1]


def _version(connection: Any, server: str) -> str:
    told = str(_ask(connection, "SELECT VERSION()"))
    product = "MariaDB" if "mariadb" in told.lower() else "MySQL"
    numbers = tuple(int(number) for number in re.findall(r"\d+", told)[:2])
    version = f"{product} {told.partition('-')[0]}"
    if numbers < LEAST[product]:
        wanted = " or ".join(f"{name} {major}.{minor}" for name, (major, minor) in LEAST.items())
        raise TroubleError(f"{server} is {version}, which is too old. Use {wanted} or newer.")
    return version


def _missing_rights(connection: Any) -> list[str]:
    """The rights that a run would miss; that to create, only for a table that is not there."""
    missing: list[str] = []
    for table in METADATA.sorted_tables:
        names = {"table": table.name, "column": table.primary_key.columns[0].name}
        refusals = [_refusal(connection, statement.format(**names)) for statement in DO_NOTHING]
        if any(error and is_missing_table(error) for error in refusals):
            refusals.append(_refusal(connection, CREATE.format(**names)))
        missing += [right for error in refusals if error and (right := missing_right(error))]
    return missing


def _refusal(connection: Any, statement: str) -> pymysql.MySQLError | None:
    """For want of a right or of a table; other errors are raised."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except pymysql.MySQLError as error:
        if not missing_right(error) and not is_missing_table(error):
            raise
        return error
    return None


def _loading(connection: BulkConnection) -> str:
    """Whether rows can be loaded: none are, so nothing changes, and the table need not exist."""
    connection.upload = []
    try:
        with connection.cursor() as cursor:
            cursor.execute(LOAD_NOTHING)
    except pymysql.MySQLError as error:
        if is_passing(error):
            raise  # as a run would
        if not is_missing_table(error):
            return SLOWER.format(number=error.args[0])
    finally:
        connection.upload = None
    return "LOAD DATA LOCAL"


def _tls(connection: Any, *, verified: bool) -> str:
    version = _ask(connection, "SHOW SESSION STATUS LIKE 'Ssl_version'")
    if not version:
        return "no TLS"
    return str(version) if verified else f"{version} but MYSQL_SSL_CA is unset: not verified"
