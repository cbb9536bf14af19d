"""Running small assets through the IO managers, as Dagster does: a day, a range of days, no day."""

import functools
import multiprocessing
import multiprocessing.forkserver
import os
import unittest.mock
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dagster as dg

from storepipe_dagster.io_managers.lake import Lake

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-04")
DAY_1, DAY_2, DAY_3 = DAYS.get_partition_keys()
SINGLE_RUN = dg.BackfillPolicy.single_run()
SIGKILLED = -9
TOP = Path(__file__).parents[2]


def materialize(
    assets: Sequence[Any],
    resources: dict[str, Any],
    *days: str,
    select: str | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise all assets, or the one that is selected; several days are one run."""
    tags = {}
    if len(days) > 1:
        tags = {
            "dagster/asset_partition_range_start": days[0],
            "dagster/asset_partition_range_end": days[-1],
        }
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            list(assets),
            selection=select and dg.AssetSelection.assets(select),
            resources=resources,
            partition_key=days[0] if len(days) == 1 else None,
            tags=tags,
            instance=instance,
        )


def metadata_by_day(
    result: dg.ExecuteInProcessResult, key: str
) -> dict[str | None, dict[str, Any]]:
    """What the materialisations of an asset tell, by partition."""
    return {
        event.partition: {
            name: value.value
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey.from_user_string(key)
    }


@functools.cache
def forking() -> multiprocessing.context.BaseContext:
    """Processes that are forks of one that has loaded these tests, and has no threads."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        [
            "storepipe_dagster_tests.io_managers.test_delta",
            "storepipe_dagster_tests.io_managers.test_capture_files",
        ]
    )
    path = os.pathsep.join([str(TOP), *filter(None, [os.environ.get("PYTHONPATH")])])
    with unittest.mock.patch.dict(os.environ, PYTHONPATH=path):
        multiprocessing.forkserver.ensure_running()
    return processes


def with_environment(variables: dict[str, str], function: Callable[..., Any], *of: Any) -> Any:
    """Call a function in a fork, with the variables of who asks for it."""
    os.environ.clear()
    os.environ.update(variables)
    return function(*of)


def kill_in_mid_write(
    write: Callable[[Connection, Callable[[], Lake]], None], make_lake: Callable[[], Lake]
) -> None:
    """Run ``write`` in a process of its own, and kill that when it tells that it is writing.

    ``write`` sends something through its connection in mid-write and then waits for an answer.
    """
    processes = forking()
    ours, theirs = processes.Pipe()
    process = processes.Process(
        target=with_environment, args=(dict(os.environ), write, theirs, make_lake)
    )
    process.start()
    theirs.close()
    try:
        ours.recv()
    finally:
        process.kill()
        process.join()
    assert process.exitcode == SIGKILLED


def stop_here(connection: Connection) -> None:
    """Tell that a write is under way, and wait to be killed."""
    connection.send("writing")
    connection.recv()
