"""The database of the local deployment: a SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path

from storepipe_dagster.doctor import SECONDS, TroubleError
from storepipe_dagster.doctor.folders import check_folder
from storepipe_dagster.settings import Settings

REMEDY = "Set STOREPIPE_HOME to a folder that can be written to."


def check(settings: Settings) -> str:
    """The file is a database that we may write to, or can be made."""
    path = settings.storepipe_home / "store.db"
    room = check_folder(path.parent, REMEDY)
    if not path.exists():
        return f"SQLite, {path} can be made, {room}"
    try:
        return f"SQLite, {path}: {_products(path)}, {room}"
    except sqlite3.Error as error:
        raise TroubleError(f"{path} {_meaning(error)}") from None


def _products(path: Path) -> str:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", timeout=SECONDS, uri=True)) as file:
        file.execute("BEGIN IMMEDIATE")  # what a run needs: to be the one who writes
        file.rollback()
        if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'products'").fetchone():
            return "no products yet"
        (products,) = file.execute("SELECT count(*) FROM products").fetchone()
        return f"{products} products"


def _meaning(error: sqlite3.Error) -> str:
    told = str(error)
    if "locked" in told:
        return f"was locked for {SECONDS:.0f} s. Wait for the run that writes to it, or end it."
    if "not a database" in told or "malformed" in told:
        return "is no intact SQLite database. Move it away; runs of all days make it again."
    return f"cannot be used: {told}. {REMEDY}"
