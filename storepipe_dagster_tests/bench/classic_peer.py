"""The graph's own transforms on Spark itself, on the JVM of this machine, on the same extract.

A process of its own: ``python -m storepipe_dagster_tests.bench.classic_peer LAKE OUT``. The
transforms speak Spark Connect or classic Spark by what the process was started for.
"""

import sys
import tempfile
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from storepipe_dagster.io_managers.capture_files import SPARK_STAMP, STAMP_IN_PATH
from storepipe_dagster.layers.refined import transforms as refined
from storepipe_dagster.layers.trusted import transforms as trusted

CONF = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "4g",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "4",  # its default, 200, is for clusters
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.ui.enabled": "false",
}


def write_tables(lake: Path, out: Path) -> None:
    """Write every table as a folder of Parquet files."""
    with tempfile.TemporaryDirectory() as folder:
        builder = SparkSession.builder.master("local[*]").config(map=CONF)
        spark = builder.config("spark.sql.warehouse.dir", folder).getOrCreate()
        try:
            _write_tables(spark, lake, out)
        finally:
            spark.stop()


def _write_tables(spark: SparkSession, lake: Path, out: Path) -> None:
    def write(name: str, table: DataFrame) -> DataFrame:
        path = str(out / f"{name}.parquet")
        table.write.parquet(path)
        return spark.read.parquet(path)

    def extract(name: str) -> DataFrame:
        return spark.read.parquet(str(lake / "raw/relational" / name))

    prices = write("product_prices", trusted.product_prices(_captures(spark, lake)))
    names = ("carts", "cart_items", "users", "products")
    lines = (*map(extract, names), prices)
    sales = write("sales", trusted.sales(*lines))
    write("rejected_sales", trusted.rejected_sales(*lines))
    carts = write("sales_by_cart", refined.sales_by_cart(sales))
    product_days = write("sales_by_product_day", refined.sales_by_product_day(sales))
    write("sales_by_day", refined.sales_by_day(carts))
    write("sales_by_category", refined.sales_by_category(carts, product_days))
    write("sales_by_product", refined.sales_by_product(carts, product_days))
    write("sales_by_city", refined.sales_by_city(carts))
    write("customer_segments", refined.customer_segments(carts))
    write("customer_cohorts", refined.customer_cohorts(carts))
    write("product_affinity", refined.product_affinity(carts, min_carts_together=2))


def _captures(spark: SparkSession, lake: Path) -> DataFrame:
    """What the pipeline's IO manager makes of the captures."""
    files = spark.read.format("binaryFile").option("pathGlobFilter", "*.json")
    stamp = F.regexp_extract("path", STAMP_IN_PATH, 1)
    return (
        files.load(str(lake / "raw/products"))
        .where(stamp != "")
        .select(
            F.to_timestamp(stamp, SPARK_STAMP).alias("captured_at"),
            F.col("path").alias("file"),
            F.col("content").cast("string").alias("content"),
        )
    )


if __name__ == "__main__":
    write_tables(*map(Path, sys.argv[1:]))
