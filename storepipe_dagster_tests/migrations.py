"""Dagster's migrations are read once in a process, not for each new instance.

A new instance marks its databases as migrated, for which Alembic loads all of Dagster's migrations
from their files: longer than most of our tests take.
"""

from alembic.config import Config
from alembic.script import ScriptDirectory

_from_config = ScriptDirectory.from_config
_read: dict[str | None, ScriptDirectory] = {}


def from_config(config: Config) -> ScriptDirectory:
    """As Alembic's, which would read the folder again."""
    folder = config.get_main_option("script_location")
    if folder not in _read:
        _read[folder] = _from_config(config)
    return _read[folder]


ScriptDirectory.from_config = from_config
