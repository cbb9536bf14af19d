"""The lake on an Azurite that is busy, or whose connections break, for a part of the run.

Some calls of delta-rs hold Python's lock while they wait for an answer, which the proxy of this
process could not give then: who uses the lake is a process of its own.
"""

import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import dagster as dg
import pytest
from pyspark.sql import DataFrame

from storepipe_dagster.asset_metadata import columns_of
from storepipe_dagster.io_managers.azure_lake import AzureLake
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster_tests.io_managers import test_capture_files as captures
from storepipe_dagster_tests.io_managers import test_delta as tables
from storepipe_dagster_tests.io_managers import test_parquet as extracts
from storepipe_dagster_tests.io_managers.lakes import managers_of
from storepipe_dagster_tests.io_managers.small_graph import (
    DAY_1,
    DAY_2,
    DAY_3,
    forking,
    materialize,
    with_environment,
)
from storepipe_dagster_tests.servers.proxy import Proxy

REQUESTS_BEFORE, FAULTS, SECONDS_AWAY = 60, 4, 2
LONGEST_SECONDS = 60


@pytest.fixture
def proxy(azurite):
    with Proxy(azurite.port, http=True) as proxy:
        yield proxy


@pytest.fixture
def account(azurite):
    return azurite.new_account()


@pytest.fixture(scope="module")
def process():
    """A process of its own, for all of these tests."""
    with ProcessPoolExecutor(1, forking()) as process:
        yield process


@pytest.fixture
def run(account, proxy, process):
    """Run a function of a lake, by way of the proxy, in the other process."""
    by_proxy = account.connection_string.replace(f":{proxy.server_port}/", f":{proxy.port}/")
    make_lake = partial(AzureLake, connection_string=by_proxy)
    return lambda use: process.submit(with_environment, dict(os.environ), use, make_lake).result()


@pytest.fixture
def read(account):
    """What a table has, without the proxy."""

    def rows(table):
        lake = AzureLake(connection_string=account.connection_string)
        with LakeSql(lake=lake).connect() as connection:
            return connection.sql(f"SELECT cart_id FROM {table} ORDER BY ALL").fetchall()

    return rows


@dg.asset(
    key=["refined", "copy"],
    ins={"extract": dg.AssetIn(["raw", "relational", "carts"])},
    io_manager_key="delta",
    metadata=dict(columns_of(tables.SCHEMA)),
)
def copy(extract: DataFrame) -> DataFrame:
    return extract.selectExpr("cart_date AS sale_date", "cart_id", "price", "sold_at").selectExpr(
        "sale_date", "cart_id", "CAST(price AS decimal(18,2)) AS revenue", "sold_at"
    )


def write(make_lake):
    """All that the IO managers do, twice for a range of days; what the current captures are."""
    lake = make_lake()
    resources = managers_of(lake, InProcessSpark(lake=lake))
    records = [(DAY_1, '{"id": 1}'), (DAY_3, '{"id": 3}')]
    for at in (captures.NOON, captures.LATER):
        materialize([captures.carts_of(captures.capture(at, records))], resources, DAY_1, DAY_3)
        extract = extracts.carts_of(extracts.batch((DAY_1, 1), (DAY_3, 3)))
        materialize([extract], resources, DAY_1, DAY_3)
        materialize([tables.sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)
        materialize([extract, copy], resources, select="refined/copy")
        with LakeSql(lake=lake).connect() as connection:
            connection.sql("FROM refined.copy").fetchall()
    return captures.read_carts(resources, DAY_1, DAY_3)


@pytest.fixture
def nothing_is_lost(run, read):
    def check():
        assert run(write) == [(DAY_1, [{"id": 1}]), (DAY_2, []), (DAY_3, [{"id": 3}])]
        for table in ("raw_relational.carts", "trusted.sales", "refined.copy"):
            assert read(table) == [(1,), (3,)]

    return check


@pytest.mark.slow
def test_many_requests_meet_a_busy_server(proxy, nothing_is_lost):
    proxy.answer_busy(every=15)

    nothing_is_lost()

    assert proxy.counts["busy"] > 10


@pytest.mark.slow
def test_connections_break_in_mid_answer(proxy, nothing_is_lost):
    proxy.cut_after(30_000, "to_client", times=1_000)

    nothing_is_lost()

    assert proxy.counts["cut"] > 3


@pytest.mark.slow
def test_connections_break_in_mid_request(proxy, nothing_is_lost):
    proxy.cut_after(30_000, "to_server", times=1_000)

    nothing_is_lost()

    assert proxy.counts["cut"] > 3


@pytest.mark.parametrize("fault", ["busy", pytest.param("refused", marks=pytest.mark.slow)])
def test_the_account_is_away_for_some_seconds(proxy, nothing_is_lost, fault):
    def go_away_in_mid_run():
        while proxy.counts["requests"] < REQUESTS_BEFORE:
            time.sleep(0.01)
        proxy.answer_busy() if fault == "busy" else proxy.refuse()
        proxy.cut()
        began = time.monotonic()
        while time.monotonic() < began + (
            # A client on a busy machine asks again late.
            SECONDS_AWAY if proxy.counts[fault] >= FAULTS else LONGEST_SECONDS
        ):
            time.sleep(0.01)
        proxy.heal()

    away = threading.Thread(target=go_away_in_mid_run)
    away.start()

    nothing_is_lost()

    away.join()
    assert proxy.counts[fault] >= FAULTS
