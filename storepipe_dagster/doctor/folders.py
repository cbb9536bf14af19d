"""Folders of this machine: whether we may write there, and how much room there is."""

import shutil
import tempfile
from pathlib import Path

from storepipe_dagster.doctor import TroubleError

GIB = 2**30
LEAST_GIB = 0.5


def check_folder(folder: Path, remedy: str) -> str:
    """Tell the room in a folder that can be written to, or can be made; nothing is left there."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise TroubleError(f"{existing} is a file where a folder should be. {remedy}")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise TroubleError(f"{existing} cannot be written to: {error.strerror}. {remedy}") from None
    free = shutil.disk_usage(existing).free / GIB
    if free < LEAST_GIB:
        raise TroubleError(f"{existing} has only {free:.2f} GiB free. Make room, or: {remedy}")
    return f"{free:.1f} GiB free"
