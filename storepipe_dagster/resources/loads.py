"""The ledger of loads: a table of the database that knows what was loaded into the others.

It is written in the transaction that writes the rows, so it goes back with them: to a backup, or
when a load is killed. A day that was loaded and has no rows has its line here.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

UTC_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
OPTIONS: dict[str, Any] = {
    "sqlite_with_rowid": False,
    "mysql_charset": "utf8mb4",
    "mysql_engine": "InnoDB",
}
NO_DAY = ""  # part of a key, so it cannot be null

LOADS = sa.Table(
    "storepipe_loads",
    sa.MetaData(),
    sa.Column("table_name", sa.String(64), primary_key=True, comment="The table"),
    sa.Column(
        "day", sa.String(10), primary_key=True, comment="The day; empty for a table without days"
    ),
    sa.Column(
        "capture",
        sa.String(64),
        nullable=False,
        comment="Name of the newest capture that was loaded",
    ),
    sa.Column(
        "row_count",
        sa.BigInteger,
        nullable=False,
        comment="Rows after the load; of a table that never loses rows, the most there were",
    ),
    sa.Column("loaded_at", UTC_TIME, nullable=False, comment="UTC time of the load"),
    comment="What was loaded into the other tables",
    **OPTIONS,
)


@dataclass(frozen=True)
class Load:
    """The newest capture that was loaded into a table or a day of it, and the rows it had then."""

    capture: str
    rows: int
