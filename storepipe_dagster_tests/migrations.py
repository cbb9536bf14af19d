"""Dagster's migrations are loaded once in a process, not for each new instance.

A new instance marks its databases as migrated, for which Alembic loads all of Dagster's migrations
from their files: longer than most of our tests take.
"""

from functools import cache
from types import ModuleType

from alembic import util

_load = util.load_python_file
_load_once = cache(_load)


def load_python_file(folder: str, filename: str) -> ModuleType:
    """As Alembic's, which must run `env.py` each time; a migration only says what it is."""
    return (_load if filename == "env.py" else _load_once)(folder, filename)


util.load_python_file = load_python_file
