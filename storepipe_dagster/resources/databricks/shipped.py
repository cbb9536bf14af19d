"""What a launch brings to the cluster: this package as a zip, and the libraries that it imports.

``cluster.lock`` beside this module is made by ``make lock``, with the versions of the lock file.
Python and Spark are the cluster's own.
"""

import io
import re
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import storepipe_dagster

PACKAGE = Path(storepipe_dagster.__file__).parent
PIN = re.compile(r"^[^\s#]+==[^\s;]+", re.MULTILINE)
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same code makes the same zip


def code_zip() -> bytes:
    """The package and nothing beside it: no ``.env``, no ``.git``, no data."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(PACKAGE.rglob("*")):
            inside = path.relative_to(PACKAGE.parent)
            if path.is_file() and not any(map(_is_no_code, inside.parts)):
                entry = zipfile.ZipInfo(inside.as_posix(), EPOCH)
                zipped.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _is_no_code(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def requirements() -> str:
    """The pinned libraries with their hashes: a requirements file."""
    return files("storepipe_dagster.resources.databricks").joinpath("cluster.lock").read_text()


def libraries() -> list[dict[str, Any]]:
    """The pinned libraries, as Databricks' Jobs API lists them one by one: without hashes."""
    return [{"pypi": {"package": pin}} for pin in PIN.findall(requirements())]
