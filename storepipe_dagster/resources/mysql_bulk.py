"""Many rows into MySQL and out of it, over one ordinary PyMySQL connection, TLS or not.

In: LOAD DATA LOCAL, fed from memory. Out: the packets of rows as they come, of which
``mysql_packets`` makes columns. Transactions are in ``mysql``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pymysql import OperationalError  # type: ignore[import-untyped]
from pymysql.connections import Connection, MySQLResult  # type: ignore[import-untyped]
from pymysql.constants.CR import CR_SERVER_LOST  # type: ignore[import-untyped]
from pymysql.protocol import MysqlPacket  # type: ignore[import-untyped]

from storepipe_dagster.ahead import made_ahead
from storepipe_dagster.errors import UserError
from storepipe_dagster.resources.database import Row
from storepipe_dagster.resources.mysql_errors import is_passing
from storepipe_dagster.resources.mysql_packets import Packets

ROWS_PER_TEXT = 500  # more are no faster: Python transposes them an iterator each
LARGEST_PACKET = 2**20
ROWS_PER_BATCH = 64 * 1024
BYTES_PER_BATCH = 8 * 2**20  # where rows are long
BYTES_AT_ONCE = 2**18
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}  # in this order


class BulkConnection(Connection):  # type: ignore[misc]
    """A connection that answers LOAD DATA LOCAL with the rows it was given, and hands out packets.

    PyMySQL would send whatever file the server asks for, at any time. This one sends no file.
    """

    upload: Iterable[bytes] | None = None
    warnings = 0

    def __init__(self, seconds_to_answer: float, **arguments: Any) -> None:
        """Log in within the read time-out of the arguments; a statement may take longer."""
        super().__init__(**arguments)
        self._read_timeout = self._write_timeout = seconds_to_answer

    def _read_query_result(self, unbuffered: bool = False) -> int:
        self._result = None
        result = _Result(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        self.warnings = result.warning_count
        return int(result.affected_rows)

    def row_packets(self) -> Iterator[Packets]:
        """The rows of the unbuffered query that was sent last, some at a time."""
        result: Any = self._result
        packets = Packets()
        while True:
            packets.find(ROWS_PER_BATCH)
            if last := packets.pop_last():
                break
            if len(packets.starts) == ROWS_PER_BATCH or packets.end > BYTES_PER_BATCH:
                yield packets
                packets = packets.rest()
            else:
                packets.data += self._receive()
        result.unbuffered_active = False
        MysqlPacket(last, self.encoding).check_error()
        if packets.starts:
            yield packets

    def _receive(self) -> bytes:
        """What comes next, as much as is there."""
        try:
            received: bytes = self._rfile.read1(BYTES_AT_ONCE)
        except OSError as error:
            raise OperationalError(CR_SERVER_LOST, f"Lost connection ({error})") from error
        if not received:
            raise OperationalError(CR_SERVER_LOST, "Lost connection")
        return received


class _Result(MySQLResult):  # type: ignore[misc]
    unbuffered_active: bool

    def _finish_unbuffered_query(self) -> None:
        """Close the connection; PyMySQL would read all rows that nobody wants any more."""
        if self.unbuffered_active:
            self.unbuffered_active = False
            self.connection._force_close()  # noqa: SLF001

    def _read_load_local_packet(self, _first_packet: Any) -> None:
        packets = self.connection.upload
        try:
            for packet in packets or ():
                self.connection.write_packet(packet)
        finally:
            # An empty packet ends the data; the server answers what it made of it.
            self.connection.write_packet(b"")
            answer = self.connection._read_packet()  # noqa: SLF001
        self._read_ok_packet(answer)
        if packets is None:
            raise FileAskedForError(
                "The MySQL server asked for a file of this machine, and got none. "
                "Check that MYSQL_HOST is the server that you mean."
            )


def load(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> bool:
    """Insert rows by LOAD DATA LOCAL; tells whether the server took every row as it was.

    LOCAL makes warnings of errors: a row whose key is there is left out, a value that does not
    fit is changed.
    """
    driver = connection.connection.driver_connection
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(column.name) for column in table.columns)
    driver.upload = text_lines(rows)  # type: ignore[union-attr]
    try:
        result = connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {quote(table.name)} "
            f"CHARACTER SET utf8mb4 ({columns})"
        )
    except (ValueError, pa.ArrowTypeError):
        return False  # rows too short, or a column of this and that
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated or is_passing(error):
            raise
        return False  # refused, by the server or a proxy before it; INSERT tells what is wrong else
    finally:
        driver.upload = None  # type: ignore[union-attr]
    return result.rowcount == len(rows) and driver.warnings == 0  # type: ignore[union-attr]


def text_lines(rows: Sequence[Row]) -> Iterator[bytes]:
    r"""Rows as LOAD DATA reads them: tabs, newlines, backslashes, ``\N``; in parts of packet size.

    Each column is text or whole numbers of 64 bits, with nulls. Raises ``ValueError`` or
    ``ArrowTypeError`` for others, and for rows of differing lengths.
    """
    for start in range(0, len(rows), ROWS_PER_TEXT):
        columns = zip(*rows[start : start + ROWS_PER_TEXT], strict=True)
        lines = pc.binary_join_element_wise(
            *map(_fields, columns), "\t", null_handling="replace", null_replacement="\\N"
        )
        text = ("\n".join(lines.to_pylist()) + "\n").encode()
        for place in range(0, len(text), LARGEST_PACKET):
            yield text[place : place + LARGEST_PACKET]


def _fields(column: Sequence[Any]) -> pa.Array:
    values = pa.array(column)
    if not pa.types.is_string(values.type):
        return values.cast(pa.string())
    for character, escape in ESCAPES.items():
        values = pc.replace_substring(values, character, escape)
    return values


class FileAskedForError(UserError):
    """The server wanted a file of this machine, which no honest server does unasked."""


def read(
    connection: sa.Connection, query: sa.Select[Any], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a query; while some are used, the next ones are on their way.

    Raises ``MalformedRowsError`` or ``ArrowInvalid`` for rows that are not the schema's. Who stops
    before the end closes the connection.
    """
    statement = query.compile(connection, compile_kwargs={"literal_binds": True})
    driver: Any = connection.connection.driver_connection
    driver.query(str(statement), unbuffered=True)
    # Whatever happens, the thread is done with the connection before that is closed.
    with closing(made_ahead(driver.row_packets())) as received:
        for packets in received:
            yield packets.rows(schema)
