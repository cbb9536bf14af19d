"""Spark at an endpoint of its own, instead of in the process."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.end_to_end.commands import Home


@pytest.fixture
def home(new_home):
    """A home whose Spark runs in another process, which can open the lake by itself."""
    home = new_home()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("sail"), "spark", "server", "--port", str(port)],
        env=os.environ | {key.upper(): value for key, value in home.lake.storage_options.items()},
    )
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield replace(home, extra={**home.extra, "STOREPIPE_SPARK_REMOTE": f"sc://127.0.0.1:{port}"})
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def store_url():
    with store_process(carts=100, days=2, seed=1) as url:
        yield url


def test_the_graph_runs_on_a_remote_spark(home, store_url):
    tables = ("--select", 'not key:"refined/store_report"')
    replace(home, api_url=store_url).run("2020-01-01", "2020-01-02", *tables)
    assert home.sql("SELECT count(DISTINCT sale_date) AS days FROM trusted.sales") == [{"days": 2}]


def test_a_remote_that_is_not_there_is_told_at_once(tmp_path, store_url):
    extra = {"STOREPIPE_SPARK_REMOTE": "sc://127.0.0.1:9/;token=abc"}
    prices = ("--select", '+key:"trusted/product_prices"')
    day = ("--from", "2020-01-01", "--to", "2020-01-01")
    done = Home(tmp_path, store_url, extra).command("run", *day, *prices)
    assert done.returncode == 1
    assert "No Spark Connect server answers at 127.0.0.1:9" in done.stderr
    assert "token" not in done.stderr
