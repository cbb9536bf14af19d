"""Which deployment the settings name, and where they came from."""

from pathlib import Path

from storepipe_dagster.settings import Settings


def check(settings: Settings) -> str:
    """The settings are read and validated before any check: nothing can be wrong here."""
    sources = "the environment and .env" if Path(".env").is_file() else "the environment"
    return f"{settings.dagster_deployment}, from {sources}; home {settings.storepipe_home}"
