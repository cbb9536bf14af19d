"""Small files of this machine, written whole or not at all.

Knows nothing of what is in them. The files of the lake are written by ``io_managers.lake``.
"""

import os
import uuid
from pathlib import Path


def write_atomically(file: Path, text: str) -> None:
    """Write a file that takes its name once it is whole and on the disk; makes its folder.

    Whenever the process is killed or the power fails, there is the file of before or this one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        with unfinished.open("w", encoding="utf-8") as content:
            content.write(text)
            content.flush()
            os.fsync(content.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
