"""Asks the lake of the environment as checks do, again and again, beside a busy thread.

DuckDB and Arrow read in threads of their own: where one wants Python's lock while another has it
and waits, the process is deaf for ever. Then all stacks are printed, and the exit code is 1.
Usage: ask_often QUERIES
"""

import faulthandler
import os
import sys
import threading
import time
from datetime import date, timedelta

from storepipe_dagster.io_managers.azure_lake import AzureLake
from storepipe_dagster.resources.lake_sql import LakeSql

DAYS = 12
FIRST_DAY = date(2020, 1, 1)
SECONDS_UNTIL_DEAF = 60
PER_CONNECTION = 6
QUERIES = [
    "SELECT cart_id FROM trusted.sales WHERE sale_date <= $last AND revenue < 0",
    """
    SELECT sale_date, cart_id FROM trusted.sales SEMI JOIN (
        SELECT cart_id FROM trusted.sales WHERE sale_date <= $last
        GROUP BY ALL HAVING count(*) > 99
    ) USING (cart_id)
    """,
    """
    SELECT cart_date FROM raw_relational.carts FULL JOIN trusted.sales USING (cart_id)
    WHERE cart_date <= $last AND sale_date IS NULL
    """,
]


def ask_often(lake: AzureLake, times: int) -> None:
    for done in range(0, times, PER_CONNECTION):
        with LakeSql(lake=lake).connect(queries=QUERIES) as connection:
            for number in range(done, done + PER_CONNECTION):
                faulthandler.dump_traceback_later(SECONDS_UNTIL_DEAF, exit=True)
                parameters = {"last": FIRST_DAY + timedelta(number % DAYS)}
                query = f"SELECT *, count(*) OVER () FROM ({QUERIES[number % len(QUERIES)]})"
                assert connection.sql(query, params=parameters).to_arrow_table().num_rows == 0


def be_busy() -> None:
    while True:
        sum(range(2000))
        time.sleep(0.001)


if __name__ == "__main__":
    threading.Thread(target=be_busy, daemon=True).start()
    ask_often(
        AzureLake(connection_string=os.environ["AZURE_STORAGE_CONNECTION_STRING"]),
        int(sys.argv[1]),
    )
