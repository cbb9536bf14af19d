"""The azure deployment while its services fail: what the user sees, and that nothing is lost."""

import json
import threading
import time
from dataclasses import replace

import pytest

from storepipe_dagster.layers.mysql.schemas import CART_ITEMS
from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.end_to_end.commands import SECONDS, Home
from storepipe_dagster_tests.servers.mariadb import LEAST, MariaDb
from storepipe_dagster_tests.servers.proxy import Proxy

DAY = "2020-01-05"
FIRST, LAST = "2020-01-01", "2020-01-04"
LINES = 60_000
EXPIRED = "sv=2021-12-02&ss=b&srt=sco&sp=rwlac&se=2020-01-01T00:00:00Z&sig=aHVudGVyMg=="


@pytest.fixture
def variables(azurite):
    """Of the azure deployment, with an empty account; the database is the test's affair."""
    account = azurite.new_account()
    return {
        "DAGSTER_DEPLOYMENT": "azure",
        "AZURE_STORAGE_CONNECTION_STRING": account.connection_string,
    }


# --- MariaDB killed -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def big_day(tmp_path_factory):
    """The folder of a store with one day that takes a while to load and to extract."""
    folder = tmp_path_factory.mktemp("big_day")
    lamp, user = {"title": "Lamp", "price": 10, "category": "home"}, {"address": {"city": "rome"}}
    products = [{"id": number, **lamp} for number in range(1, 21)]  # as many as the small shop
    users = [{"id": number, **user} for number in range(1, 101)]
    lines = [{"productId": 1, "quantity": 1}] * 200
    carts = [
        {"id": number, "userId": 1, "date": f"{DAY}T08:00:00Z", "products": lines}
        for number in range(LINES // 200)
    ]
    for name, records in {"products": products, "users": users, "carts": carts}.items():
        (folder / f"{name}.json").write_text(json.dumps(records))
    return folder


@pytest.fixture
def server():
    """A MariaDB of the test's own, to be killed."""
    with MariaDb() as server:
        yield server


@pytest.fixture
def home(server, variables, big_day, tmp_path):
    """A home of the shop with the big day."""
    variables |= server.create_database(grants=LEAST).environment()
    with store_process(from_dir=big_day) as url:
        yield Home(tmp_path, url, variables)


@pytest.fixture
def small_day(home):
    """The day of a small shop is in that home."""
    with store_process(carts=40, days=10, seed=1) as url:
        replace(home, api_url=url).run(DAY, DAY, "--select", "not group:refined")


def kill_at(server, statement, *, for_seconds):
    """In the background: kill the server in the middle of a statement, then start it again.

    Without such a statement it is not killed.
    """

    def kill():
        query = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE %s"
        deadline = time.monotonic() + SECONDS
        with server.asking() as ask:
            while ask(query, [f"{statement}%"]) == ((0,),):
                if time.monotonic() > deadline:
                    return
                time.sleep(0.002)
        server.kill()
        if for_seconds is not None:
            time.sleep(for_seconds)
            server.start()

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def rows_in_the_database(server, home):
    name = home.extra["MYSQL_DATABASE"]
    query = f"SELECT count(*) FROM `{name}`.`{CART_ITEMS.name}` WHERE cart_date = %s"
    return server.execute(query, [DAY])[0][0]


BIG = [{"lines": LINES}]
SOLD = "SELECT count(*) AS lines FROM trusted.sales"
INGEST_CARTS = 'key:"raw/carts" or key:"mysql/carts"'


@pytest.mark.parametrize(
    ("statement", "for_seconds", "restarts"),
    # The step of an extract starts again after five seconds, and waits for the server then.
    [
        pytest.param("LOAD DATA", 1, 0, id="in mid-load"),
        pytest.param(
            "SELECT cart_date, cart_id", 8, 1, id="in mid-extract", marks=pytest.mark.slow
        ),
    ],
)
def test_a_server_killed_in_the_middle_and_back_soon_costs_the_run_nothing(
    server, home, statement, for_seconds, restarts
):
    killing = kill_at(server, statement, for_seconds=for_seconds)
    done = home.run(DAY, DAY, "--select", "group:raw or group:mysql or group:relational")
    killing.join()
    assert "has closed the connection" in done.stderr
    assert done.stderr.count(" starts again. ") >= restarts
    assert home.sql("SELECT count(*) AS lines FROM raw_relational.cart_items") == BIG
    assert rows_in_the_database(server, home) == LINES


@pytest.mark.slow
def test_a_server_killed_in_mid_load_for_good_leaves_the_last_good_day(server, home, small_day):
    before = rows_in_the_database(server, home)
    sold = home.sql(SOLD)
    killing = kill_at(server, "LOAD DATA", for_seconds=None)
    done = home.command("run", "--from", DAY, "--to", DAY, "--select", INGEST_CARTS)
    killing.join()
    assert done.returncode == 1
    assert "cannot be reached: nobody listens there. Check MYSQL_HOST" in done.stderr
    assert "Traceback" not in done.stderr
    assert home.sql(SOLD) == sold

    server.start()
    assert rows_in_the_database(server, home) == before > 0
    home.run(DAY, DAY, "--select", "not group:refined")
    assert home.sql(SOLD) == BIG


# --- the storage account --------------------------------------------------------------------


@pytest.mark.slow
def test_an_account_that_is_busy_and_drops_connections_costs_the_run_nothing(
    azurite, mariadb, shop_url, clean, tmp_path
):
    account = azurite.new_account()
    variables = {
        "DAGSTER_DEPLOYMENT": "azure",
        "AZURE_STORAGE_CONNECTION_STRING": account.connection_string,
        **mariadb.create_database(grants=LEAST).environment(),
    }
    home = Home(tmp_path, shop_url, dict(variables))
    with Proxy(azurite.port, http=True) as proxy:
        beyond = replace(
            account, endpoint=account.endpoint.replace(str(azurite.port), str(proxy.port))
        )
        variables["AZURE_STORAGE_CONNECTION_STRING"] = beyond.connection_string
        proxy.answer_busy(every=9, times=40)
        proxy.cut_after(20_000, "to_server", times=3)
        replace(home, extra=variables).run(FIRST, LAST)
        assert proxy.counts["busy"] == 40
        assert proxy.counts["cut"] == 3
    assert home.tables() == clean


# --- two runs at once -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "ranges",
    [
        [(FIRST, "2020-01-02"), ("2020-01-03", LAST)],
        [(FIRST, LAST), (FIRST, LAST)],
    ],
    ids=["on different days", "on the same days"],
)
def test_two_runs_at_once_lose_and_double_nothing(
    mariadb, variables, shop_url, clean, tmp_path, ranges
):
    variables |= mariadb.create_database(grants=LEAST).environment()
    homes = [Home(tmp_path / str(number), shop_url, variables) for number in range(2)]
    runs = [
        home.start("run", "--from", first, "--to", last)
        for home, (first, last) in zip(homes, ranges, strict=True)
    ]
    told = [run.communicate()[1] for run in runs]
    for run, words in zip(runs, told, strict=True):
        # A check may see the other run's half-done work; it says so, and running again mends it.
        assert run.returncode == 0 or "the rule" in words, words
    homes[0].run(FIRST, LAST, "--select", "group:refined")
    assert homes[0].tables() == clean


# --- mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param(
            {"MYSQL_PASSWORD": "hunter2"}, "refuses the password of 'user_", id="password"
        ),
        # Other messages, on the same way to the user: `resources/test_mysql_errors` has them.
        pytest.param(
            {"MYSQL_DATABASE": "nowhere"},
            "has no database 'nowhere'",
            id="database",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"MYSQL_HOST": "db.invalid"},
            "There is no host 'db.invalid'",
            id="host",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_wrong_database_is_one_message(mariadb, variables, shop_url, tmp_path, changed, told):
    variables |= mariadb.create_database(grants=LEAST).environment() | changed
    done = Home(tmp_path, shop_url, variables).command(
        "run", "--from", FIRST, "--to", FIRST, "--select", "group:raw or group:mysql"
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("account", "told"),
    [
        pytest.param(
            "AccountName={name};BlobEndpoint={endpoint};AccountKey=aHVudGVyMg==",
            "the account key is wrong",
            id="key",
        ),
        # Another message, on the same way: `io_managers/test_azure_errors` has it.
        pytest.param(
            f"BlobEndpoint={{endpoint}};SharedAccessSignature={EXPIRED}",
            "signature expired at 2020-01-01",
            id="expired signature",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_wrong_storage_account_is_one_message(
    azurite, mariadb, variables, shop_url, tmp_path, account, told
):
    real = azurite.new_account()
    text = account.format(name=real.name, endpoint=real.endpoint)
    variables |= mariadb.create_database(grants=LEAST).environment()
    done = Home(tmp_path, shop_url, variables | {"AZURE_STORAGE_CONNECTION_STRING": text}).command(
        "run", "--from", FIRST, "--to", FIRST, "--select", "group:raw"
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "aHVudGVyMg" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_table_of_somebody_else_is_refused_and_not_touched(
    mariadb, variables, shop_url, tmp_path
):
    given = mariadb.create_database(grants=LEAST)
    mariadb.execute(f"CREATE TABLE `{given.database}`.products (id INT PRIMARY KEY, name TEXT)")
    mariadb.execute(f"INSERT INTO `{given.database}`.products VALUES (1, 'theirs')")
    home = Home(tmp_path, shop_url, variables | given.environment())
    done = home.command("run", "--from", DAY, "--to", DAY)
    assert done.returncode == 1
    assert "holds a table products that is not ours" in done.stderr
    assert "Traceback" not in done.stderr
    assert mariadb.execute(f"SELECT * FROM `{given.database}`.products") == ((1, "theirs"),)
