"""The DBFS API: small blocks of base64, and handles of files that are being written.

A file that is written block by block is there when its handle is closed. New workspaces have no
DBFS; Unity Catalog's volumes were never reached by this API.
"""

import base64
import binascii
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storepipe_dagster_tests.servers.databricks.errors import ApiError, denied, invalid, missing
from storepipe_dagster_tests.servers.databricks.exchange import Request

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

MAX_BYTES = 1 << 20
DEFAULT_READ_BYTES = 1 << 19
HANDLE_IDLE_SECONDS = 600


@dataclass
class Upload:
    """A file that is being written."""

    path: str
    parts: bytearray
    used: float


def create(workspace: "Workspace", request: Request) -> dict[str, Any]:
    path = _allowed(workspace, request.text("path"))
    _make_way(workspace, path, overwrite=request.flag("overwrite"))
    handle = secrets.randbelow(1 << 50)
    workspace.uploads[handle] = Upload(path, bytearray(), time.monotonic())
    return {"handle": handle}


def add_block(workspace: "Workspace", request: Request) -> dict[str, Any]:
    upload = _upload(workspace, request)
    upload.parts.extend(_decoded(request.json.get("data", "")))
    return {}


def close(workspace: "Workspace", request: Request) -> dict[str, Any]:
    upload = _upload(workspace, request)
    del workspace.uploads[request.number("handle")]
    _write(workspace, upload.path, bytes(upload.parts))
    return {}


def put(workspace: "Workspace", request: Request) -> dict[str, Any]:
    path = _allowed(workspace, request.text("path"))
    data = _decoded(request.json.get("contents", ""))
    _make_way(workspace, path, overwrite=request.flag("overwrite"))
    _write(workspace, path, data)
    return {}


def read(workspace: "Workspace", request: Request) -> dict[str, Any]:
    path = _allowed(workspace, request.text("path"))
    offset, length = request.number("offset", 0), request.number("length", DEFAULT_READ_BYTES)
    if offset < 0 or length < 0:
        raise invalid("Offset and length must not be negative")
    if length > MAX_BYTES:
        raise ApiError(
            400, "MAX_READ_SIZE_EXCEEDED", f"Read length {length} exceeds the maximum of 1 MB"
        )
    local = _existing(workspace, path)
    if local.is_dir():
        raise invalid(f"Cannot read {_shown(path)}: it is a directory")
    with local.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    return {"bytes_read": len(data), "data": base64.b64encode(data).decode()}


def get_status(workspace: "Workspace", request: Request) -> dict[str, Any]:
    path = _allowed(workspace, request.text("path"))
    return _status(path, _existing(workspace, path))


def list_files(workspace: "Workspace", request: Request) -> dict[str, Any]:
    path = _allowed(workspace, request.text("path"))
    local = _existing(workspace, path)
    if local.is_file():
        return {"files": [_status(path, local)]}
    inside = [_status(f"{path.rstrip('/')}/{one.name}", one) for one in sorted(local.iterdir())]
    return {"files": inside} if inside else {}


def make_directories(workspace: "Workspace", request: Request) -> dict[str, Any]:
    path = _allowed(workspace, request.text("path"))
    _make_directories(workspace, path)
    return {}


def delete(workspace: "Workspace", request: Request) -> dict[str, Any]:
    """Delete a file or directory; one that is not there is no error."""
    path = _allowed(workspace, request.text("path"))
    local = workspace.local_dbfs(path)
    if path == "/":
        raise invalid("Cannot delete the root")
    if local.is_file():
        local.unlink()
    elif local.is_dir():
        if any(local.iterdir()) and not request.flag("recursive"):
            raise ApiError(400, "IO_ERROR", f"Directory {_shown(path)} is not empty")
        shutil.rmtree(local)
    return {}


def move(workspace: "Workspace", request: Request) -> dict[str, Any]:
    source = _allowed(workspace, request.text("source_path"))
    target = _allowed(workspace, request.text("destination_path"))
    local = _existing(workspace, source)
    _make_way(workspace, target, overwrite=False)
    _make_directories(workspace, target.rpartition("/")[0] or "/")
    local.rename(workspace.local_dbfs(target))
    return {}


def normalised(path: str) -> str:
    """The path without scheme and double slashes: `dbfs:///a//b` is `/a/b`."""
    bare = path.removeprefix("dbfs:")
    if not bare.startswith("/"):
        raise invalid(f"Path must be absolute: {path}")
    names = [name for name in bare.split("/") if name]
    if ".." in names or "." in names:
        raise invalid(f"Path must not have relative parts: {path}")
    return "/" + "/".join(names)


def _allowed(workspace: "Workspace", path: str) -> str:
    clean = normalised(path)
    if clean == "/Volumes" or clean.startswith("/Volumes/"):
        raise denied("No operations allowed on this path")
    if not workspace.dbfs_enabled:
        raise denied(f"Public DBFS root is disabled. Access is denied on path: {clean}")
    return clean


def _upload(workspace: "Workspace", request: Request) -> Upload:
    handle = request.number("handle")
    upload = workspace.uploads.get(handle)
    if upload is None or time.monotonic() - upload.used > HANDLE_IDLE_SECONDS:
        workspace.uploads.pop(handle, None)
        raise missing(f"No stream exists for handle {handle}")
    upload.used = time.monotonic()
    return upload


def _decoded(data: str) -> bytes:
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError):
        raise invalid("The data is not base64") from None
    if len(decoded) > MAX_BYTES:
        raise ApiError(
            400, "MAX_BLOCK_SIZE_EXCEEDED", f"A block of {len(decoded)} bytes exceeds 1 MB"
        )
    return decoded


def _make_way(workspace: "Workspace", path: str, *, overwrite: bool) -> None:
    local = workspace.local_dbfs(path)
    if local.is_dir() or (local.exists() and not overwrite):
        raise _exists(path)


def _make_directories(workspace: "Workspace", path: str) -> None:
    try:
        workspace.local_dbfs(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _exists(path) from None


def _write(workspace: "Workspace", path: str, data: bytes) -> None:
    _make_directories(workspace, path.rpartition("/")[0] or "/")
    workspace.replace(workspace.local_dbfs(path), data)


def _existing(workspace: "Workspace", path: str) -> Path:
    local = workspace.local_dbfs(path)
    if not local.exists():
        raise missing(f"No file or directory exists on path {_shown(path)}.")
    return local


def _status(path: str, local: Path) -> dict[str, Any]:
    found = local.stat()
    return {
        "path": path,
        "is_dir": local.is_dir(),
        "file_size": 0 if local.is_dir() else found.st_size,
        "modification_time": int(found.st_mtime * 1000),
    }


def _exists(path: str) -> ApiError:
    return ApiError(
        400,
        "RESOURCE_ALREADY_EXISTS",
        f"A file or directory already exists at the input path {_shown(path)}.",
    )


def _shown(path: str) -> str:
    return f"dbfs:{path}"
