"""Dagster's code server, run as ever but with quicker runs: `python quick_code_server.py -p …`.

Each run is a process of its own, as in Dagster. There it is an interpreter that loads everything
for some seconds; here it is forked from one that has.
"""

import multiprocessing
from types import SimpleNamespace

DEFINITIONS = "storepipe_dagster.definitions"
LOADED = [
    DEFINITIONS,
    "storepipe_dagster.resources.deployments",
    "adlfs",
    "dagster._grpc.server",
    "duckdb",
    "pyspark.sql.connect.session",
    "vl_convert",
]


def main() -> None:
    """Run the server with another way to start processes."""
    from dagster._cli.api import grpc_command  # noqa: PLC0415  # runs are to load nothing again
    from dagster._grpc import server  # noqa: PLC0415

    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(LOADED)
    server.multiprocessing = SimpleNamespace(get_context=lambda _: forking)
    grpc_command()


if __name__ == "__main__":
    main()
