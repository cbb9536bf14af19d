"""Files of the lake, of Delta tables and extracts, as Arrow datasets that DuckDB can query.

Arrow's datasets are slow to import, and bring pandas along: only who reads one does.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import deltalake

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset


def dataset_in(path: str, files: Sequence[str], storage_options: Mapping[str, str]) -> "Dataset":
    """The rows of Parquet files below a path, with the columns of their folders."""
    from deltalake.fs import DeltaStorageHandler  # noqa: PLC0415
    from pyarrow.dataset import dataset  # noqa: PLC0415
    from pyarrow.fs import PyFileSystem  # noqa: PLC0415

    folder = PyFileSystem(DeltaStorageHandler(path, dict(storage_options)))
    return dataset([file.removeprefix(f"{path}/") for file in files], filesystem=folder)


def dataset_of(table: deltalake.DeltaTable, files: Collection[str]) -> "Dataset":
    """The rows of some files of a table, which are named by their paths in it."""
    from pyarrow.dataset import FileSystemDataset  # noqa: PLC0415

    every = table.to_pyarrow_dataset()
    wanted = {*files}
    fragments = [each for each in every.get_fragments() if unquote(each.path) in wanted]
    return FileSystemDataset(fragments, every.schema, every.format, every.filesystem)


def registered(connection: Any, rows: "Dataset", name: str) -> str:
    """Make a dataset known to a DuckDB connection; gives the query that reads it."""
    connection.register(f"files of {name}", rows)
    return f'FROM "files of {name}"'
