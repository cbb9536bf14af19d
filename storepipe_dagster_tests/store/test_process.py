"""The store in a process of its own: its first line, its end, and its errors."""

import json
import signal
import socket
import subprocess
import sys

import psutil
import pytest
import requests

from storepipe_dagster.store.process import store_process
from storepipe_dagster.store.shop import StoreError

COMMAND = [sys.executable, "-m", "storepipe_dagster.store"]


@pytest.fixture
def started():
    """Start the command; what is still running in the end is killed."""
    processes = []

    def start(*arguments, **streams):
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **streams,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            process.kill()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_first_line_is_a_base_url_that_answers_and_a_signal_ends_it_cleanly(started, end):
    process = started("--carts=20", "--days=2")
    base_url = process.stdout.readline().strip()
    assert len(requests.get(f"{base_url}/carts", timeout=10).json()) == 20
    process.send_signal(end)
    rest_of_stdout, stderr = process.communicate(timeout=10)
    assert (process.returncode, rest_of_stdout, stderr) == (0, "", "")


def test_it_ends_cleanly_and_at_once_with_an_answer_in_flight(started):
    process = started("--carts=200000", "--days=30")
    base_url = process.stdout.readline().strip()
    with requests.get(f"{base_url}/carts", stream=True, timeout=10) as answer:
        assert answer.raw.read(10)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr) == (0, "")


def test_it_listens_on_the_port_it_is_given(started):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert started(f"--port={port}").stdout.readline() == f"http://127.0.0.1:{port}\n"


def test_it_ends_when_its_standard_input_closes(started):
    process = started("--until-stdin-closes", stdin=subprocess.PIPE)
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.stdin.close()
    assert process.wait(10) == 0


def test_it_stays_without_standard_input_unless_told_otherwise(started):
    process = started(stdin=subprocess.DEVNULL)
    base_url = process.stdout.readline().strip()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert requests.get(base_url, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port=70000"], "cannot listen on port 70000"),
        (["--from-dir=/nowhere"], "/nowhere/products.json cannot be read"),
        (["--days=0"], "days is 0; a synthetic shop needs 1 or more"),
    ],
)
def test_what_it_cannot_serve_is_one_line_on_standard_error(started, arguments, message):
    stdout, stderr = started(*arguments).communicate(timeout=10)
    assert stdout == ""
    assert message in stderr
    assert stderr.count("\n") == 1


def test_it_starts_without_the_heavy_libraries():
    modules = "import storepipe_dagster.store.__main__, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", modules], capture_output=True, check=True, text=True
    )
    assert {"dagster", "pyspark", "pandas", "pydantic"}.isdisjoint(loaded.stdout.split())


def test_a_store_process_serves_the_shop_it_is_asked_for_until_its_end():
    children = set(psutil.Process().children())
    with store_process(carts=30, days=3, seed=4) as base_url:
        assert len(requests.get(f"{base_url}/carts", timeout=10).json()) == 30
    assert set(psutil.Process().children()) == children


def test_a_store_process_serves_a_folder(tmp_path):
    for name in ("products", "users", "carts"):
        (tmp_path / f"{name}.json").write_text(json.dumps([{"id": 8, "is": name}]))
    with store_process(from_dir=tmp_path) as base_url:
        assert requests.get(f"{base_url}/users", timeout=10).json() == [{"id": 8, "is": "users"}]


def test_a_store_process_that_does_not_start_is_an_error(capfd):
    with pytest.raises(StoreError, match="exit code 1"), store_process(days=0):
        pass
    assert "days is 0" in capfd.readouterr().err


def test_a_store_process_ends_with_its_parent_even_when_that_is_killed():
    parent_code = (
        "import time\n"
        "from storepipe_dagster.store.process import store_process\n"
        "with store_process(carts=10, days=1) as base_url:\n"
        "    print(base_url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True
    ) as parent:
        base_url = parent.stdout.readline().strip()
        (store,) = psutil.Process(parent.pid).children()
        assert requests.get(base_url, timeout=10).status_code == 200
        parent.kill()
        store.wait(10)
    with pytest.raises(requests.ConnectionError):
        requests.get(base_url, timeout=10)
