"""A lake of the test's own, and the IO managers on it."""

import pytest

from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.delta import DeltaIOManager
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.io_managers.pages import PageIOManager
from storepipe_dagster.io_managers.parquet import ParquetIOManager
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import InProcessSpark


@pytest.fixture
def root(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def lake(root):
    return Lake(root=str(root))


@pytest.fixture(scope="session")
def pyspark():
    in_process = InProcessSpark(lake=Lake(root=""))
    assert in_process.spark_session  # Sail runs before any test starts threads
    return in_process


@pytest.fixture
def resources(lake, pyspark):
    return {
        "pyspark": pyspark,
        "capture_files": CaptureFilesIOManager(lake=lake, pyspark=pyspark),
        "parquet": ParquetIOManager(lake=lake, pyspark=pyspark),
        "delta": DeltaIOManager(lake=lake, pyspark=pyspark),
        "pages": PageIOManager(lake=lake),
    }


@pytest.fixture
def ask(lake):
    """The rows of a question in SQL to the lake."""

    def rows(query):
        with LakeSql(lake=lake).connect() as connection:
            return connection.sql(query).fetchall()

    return rows


@pytest.fixture
def listing(root):
    """The files of the lake, sorted, hidden ones too."""

    def files():
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    return files
