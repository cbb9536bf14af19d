"""A lake in a folder and one in Azurite, and Delta tables in it that grow version by version."""

from datetime import date
from decimal import Decimal

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake

from storepipe_dagster.history.tables import versions_of
from storepipe_dagster.io_managers import delta_log, delta_writes
from storepipe_dagster_tests.io_managers.lakes import lake, make_lake  # noqa: F401

SALES = dg.AssetKey(["trusted", "sales"])
REJECTED = dg.AssetKey(["trusted", "rejected_sales"])
PRODUCTS = dg.AssetKey(["refined", "sales_by_product"])
SALES_COLUMNS = pa.schema(
    [("sale_date", pa.date32()), ("cart_id", pa.int64()), ("revenue", pa.decimal128(18, 2))]
)
PRODUCTS_COLUMNS = pa.schema([("product_id", pa.int64()), ("product_title", pa.string())])
OP_OF = {"roll_back_table": "roll_back_table", "lake_maintenance": "maintain_lake"}


class Tables:
    """Writes versions of the tables, as the pipeline does: by day, and whole."""

    def __init__(self, lake):  # noqa: F811
        self.lake = lake
        self.options = {"storage_options": lake.storage_options}
        for key, schema, by in (
            (SALES, SALES_COLUMNS, ["sale_date"]),
            (REJECTED, SALES_COLUMNS, ["sale_date"]),
            (PRODUCTS, PRODUCTS_COLUMNS, None),
        ):
            path = lake.path(key)
            lake.files.makedirs(path, exist_ok=True)
            DeltaTable.create(path, schema=schema, partition_by=by, **self.options)

    def sell(self, day, *carts, run=None):
        """Replace a day of the sales by rows of (cart_id, revenue); the version."""
        return self._write_day(SALES, day, carts, run)

    def sell_nothing(self, day):
        """Replace a day of the sales by none; the version."""
        schema = Schema.from_arrow(SALES_COLUMNS)
        target = delta_writes.Target(self.lake, self.lake.path(SALES), schema, ["sale_date"])
        files = delta_writes._files_without_rows(target, [day], [])
        return delta_writes._commit(target, files, [day])

    def reject(self, day, *carts, run=None):
        """Replace a day of the rejected sales by rows of (cart_id, revenue); the version."""
        return self._write_day(REJECTED, day, carts, run)

    def _write_day(self, key, day, carts, run):
        rows = [(date.fromisoformat(day), cart_id, Decimal(money)) for cart_id, money in carts]
        return self._write(key, SALES_COLUMNS, rows, f"sale_date = '{day}'", run)

    def rank(self, *products):
        """Replace the products by rows of (product_id, product_title); the version."""
        return self._write(PRODUCTS, PRODUCTS_COLUMNS, products, None)

    def _write(self, key, schema, rows, predicate, run=None):
        records = [dict(zip(schema.names, row, strict=True)) for row in rows]
        table = pa.Table.from_pylist(records, schema)
        path = self.lake.path(key)
        by = CommitProperties(custom_metadata={delta_log.RUN: run} if run else None)
        write_deltalake(
            path,
            table,
            mode="overwrite",
            predicate=predicate,
            commit_properties=by,
            **self.options,
        )
        return self.delta(key).version()

    def delta(self, key, version=None):
        return DeltaTable(self.lake.path(key), version=version, **self.options)

    def rows(self, key, version=None):
        """The rows of a version, sorted."""
        found = self.delta(key, version).to_pyarrow_table().to_pylist()
        return sorted(tuple(map(str, row.values())) for row in found)

    def versions(self, key):
        return versions_of(self.lake, key)

    def lose(self, key, version):
        """Delete the files of a version that the newest has not, as vacuum would."""
        wanted = set(self.delta(key).file_uris())
        for file in set(self.delta(key, version).file_uris()) - wanted:
            self.lake.files.rm_file(file.removeprefix("file://"))


@pytest.fixture
def tables(lake):  # noqa: F811
    return Tables(lake)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def run(lake, instance):  # noqa: F811
    """Run a job with the configuration of its op."""

    def execute(job, *, raise_on_error=True, **config):
        return job.execute_in_process(
            run_config={"ops": {OP_OF[job.name]: {"config": config}}},
            resources={"lake": lake},
            instance=instance,
            raise_on_error=raise_on_error,
        )

    return execute
