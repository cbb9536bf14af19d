"""The lake of the local deployment."""

from storepipe_dagster.doctor.folders import check_folder
from storepipe_dagster.settings import Settings


def check(settings: Settings) -> str:
    """The folder can be written to, or made."""
    lake = settings.storepipe_home / "lake"
    room = check_folder(lake, "Set STOREPIPE_HOME to a folder that can be written to.")
    return f"{lake} can be {'written to' if lake.exists() else 'made'}, {room}"
