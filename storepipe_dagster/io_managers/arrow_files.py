"""Parquet files as Arrow datasets that DuckDB can query: those of Delta tables, and extracts.

Arrow reads files of this machine only, without Python: DuckDB may hold Python's lock while it waits
for Arrow's threads, and one that wants the lock then waits for ever.

Arrow's datasets are slow to import, and bring pandas along: only who reads one loads this module.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
import pyarrow as pa
from pyarrow.dataset import (
    Dataset,
    Expression,
    FileSystemDataset,
    HivePartitioning,
    ParquetFileFormat,
    Scanner,
)
from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

from storepipe_dagster.io_managers.copies import CopiedFiles
from storepipe_dagster.io_managers.delta_log import files_of


class CopiedDataset(FileSystemDataset):  # type: ignore[misc]
    """Files of a lake elsewhere, which are copied here when DuckDB asks for a scanner of rows."""

    def __init__(self, local: FileSystemDataset, files: CopiedFiles) -> None:
        super().__init__([*local.get_fragments()], local.schema, local.format, local.filesystem)
        self._files = files

    def scanner(
        self,
        columns: Sequence[str] | None = None,
        filter: Expression | None = None,  # noqa: A002  # its name in Arrow
        **options: Any,
    ) -> Scanner:
        """What reads the rows, once the columns of the files that may have some are here."""
        self._files.copy([each.path for each in self.get_fragments(filter)], columns)
        return super().scanner(columns=columns, filter=filter, **options)


def table_in(folder: str | Path, table: deltalake.DeltaTable, names: Collection[str]) -> Dataset:
    """The rows of some files of a table, which are in a folder by their paths in the table."""
    every = table.to_pyarrow_dataset(
        filesystem=_files_in(folder), file_pruning_predicate=_partitions_of(table, {*names})
    )
    fragments = [
        every.format.make_fragment(unquote(each.path), every.filesystem, each.partition_expression)
        for each in every.get_fragments()
        if unquote(each.path) in {*names}
    ]
    return FileSystemDataset(fragments, every.schema, every.format, every.filesystem)


def _partitions_of(
    table: deltalake.DeltaTable, names: Collection[str]
) -> list[tuple[str, str, list[str]]] | None:
    """What holds for the partitions of some files: to look at all files of a table takes long."""
    files = [file for file in files_of(table) if unquote(file["path"]) in names]
    of_files = {
        column: {file[f"partition.{column}"] for file in files}
        for column in table.metadata().partition_columns
    }
    known = {column: of for column, of in of_files.items() if of and None not in of}
    return [(column, "in", sorted(map(str, of))) for column, of in known.items()] or None


def copied_extracts(files: CopiedFiles, names: Sequence[str]) -> Dataset:
    """The rows of extracts, with the columns of the first; their folders tell the days."""
    local, form = _files_in(files.folder), ParquetFileFormat()
    files.copy(names[:1], [])
    schema = form.inspect(names[0], local)
    folders = [part.split("=")[0] for part in names[0].split("/") if "=" in part]
    days = HivePartitioning(pa.schema([schema.field(name) for name in folders]))
    fragments = [form.make_fragment(name, local, days.parse(name)) for name in names]
    return CopiedDataset(FileSystemDataset(fragments, schema, form, local), files)


def _files_in(folder: str | Path) -> FileSystem:
    return SubTreeFileSystem(str(folder), LocalFileSystem())


def registered(connection: Any, rows: Dataset, name: str) -> str:
    """Make a dataset known to a DuckDB connection; gives the query that reads it."""
    connection.register(f"files of {name}", rows)
    return f'FROM "files of {name}"'
