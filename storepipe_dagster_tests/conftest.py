"""What tests share: a home of their own, the two Spark engines, the real API's answers."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

# A script starts what is in the background without it; tests send it, and processes inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where a write need not wait for a disk, if there is room: databases wait a quarter of the time.
MEMORY, ROOM = Path("/dev/shm"), 6 << 30
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # it is read again

# The package reads its settings when it is loaded: give it none of the developer's.
for name in list(os.environ):
    if name.startswith(("STOREPIPE_", "MYSQL_", "AZURE_STORAGE_", "DATABRICKS_", "DAGSTER_")):
        del os.environ[name]
HERE = Path.cwd()
HOME = tempfile.mkdtemp(prefix="storepipe-tests-")
os.environ["STOREPIPE_HOME"] = HOME

from collections.abc import Iterator  # noqa: E402

import pytest  # noqa: E402

from storepipe_dagster.settings import settings as read_settings_once  # noqa: E402

pytest_plugins = [
    "storepipe_dagster_tests.migrations",
    "storepipe_dagster_tests.servers.fixtures",
    "storepipe_dagster_tests.spark",
    "storepipe_dagster_tests.totals",
    "storepipe_dagster_tests.workers",
]
FAKESTORE = Path(__file__).parents[2] / "shared" / "data" / "fakestore"

os.chdir(HOME)  # where no .env of the developer's is
read_settings_once()
os.chdir(HERE)


@pytest.fixture(scope="session", autouse=True)
def elsewhere() -> Iterator[None]:
    """Tests run where no .env of the developer's is."""
    os.chdir(HOME)
    yield
    os.chdir(HERE)


def pytest_sessionfinish() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def fakestore() -> Path:
    """The folder of the real API's answers; no copy of them is kept here."""
    if not FAKESTORE.exists():
        pytest.skip(f"{FAKESTORE} is not there")
    return FAKESTORE
