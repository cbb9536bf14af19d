"""The folder in which Dagster keeps the history of runs."""

import os
from pathlib import Path

from storepipe_dagster.doctor import TroubleError
from storepipe_dagster.doctor.folders import check_folder
from storepipe_dagster.instance import InstanceError, is_configured
from storepipe_dagster.settings import Settings


def check(settings: Settings) -> str:
    """The folder can be written to; one that DAGSTER_HOME names must be there already."""
    named = os.environ.get("DAGSTER_HOME")
    if named is None:
        remedy = "Set STOREPIPE_HOME to a folder that can be written to."
        told = f"history in {settings.dagster_home}, {check_folder(settings.dagster_home, remedy)}"
        return told + _configuration(settings.dagster_home / "dagster.yaml")
    home = Path(named)
    if not home.is_absolute():
        raise TroubleError(f"DAGSTER_HOME={named} is not absolute. Give the whole path.")
    if not home.is_dir():
        raise TroubleError(f"DAGSTER_HOME={named} is no folder. Make it, or unset DAGSTER_HOME.")
    if not (home / "dagster.yaml").is_file():
        raise TroubleError(f"{home} has no dagster.yaml. Write one, or unset DAGSTER_HOME.")
    room = check_folder(home, "Set DAGSTER_HOME to a folder that can be written to.")
    return f"history as {home / 'dagster.yaml'} says, {room}"


def _configuration(file: Path) -> str:
    """What is to be said of the configuration of our own home, if anything."""
    try:
        configured = is_configured(file)
    except InstanceError as error:
        raise TroubleError(str(error)) from None
    return "" if configured or not file.exists() else f"; {file} is empty: the next run writes it"
