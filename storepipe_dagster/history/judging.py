"""Judging rows that came back, by the blocking checks of their assets, in runs of their own.

A run is about one day or a range of them, so each range gets a run: what it finds stands in the
history of the checks, and in the standing list, for just these days.
"""

from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.partitions import FIRST_DAY, LAST_DAY, ranges
from storepipe_dagster.printing import QUIET
from storepipe_dagster.resources.lake_sql import LakeSql

JUDGES = {"storepipe/judges": "a roll back"}  # a tag of these runs


def judge(
    instance: dg.DagsterInstance,
    lake: Lake,
    checks: Sequence[dg.AssetChecksDefinition],
    keys: Collection[dg.AssetKey],
    days: Collection[str | None],
    tags: dict[str, str],
) -> Iterator[str]:
    """What is wrong with these days, or tables without days, in words; nothing if all is well.

    The runs have ``tags``. A check that came to no end is a problem too.
    """
    blocking = {
        spec.key
        for definition in checks
        for spec in definition.check_specs
        if spec.blocking and spec.asset_key in keys
    }
    if not blocking:
        return
    definitions = dg.Definitions(
        asset_checks=[each for each in checks if blocking & {*each.check_keys}],
        resources={"lake_sql": LakeSql(lake=lake)},
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    job = job.get_subset(asset_check_selection=blocking)
    for span in spans(days):
        done = job.execute_in_process(
            instance=instance,
            run_config=QUIET,
            tags={**tags, **JUDGES, **span},
            raise_on_error=False,
        )
        told = [
            f"{check.asset_key.to_user_string()}: {check.check_name} failed. {check.description}"
            for check in done.get_asset_check_evaluations()
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
        ]
        if not done.success:
            yield from told or [f"Not judged: the log of run {done.run_id} tells why."]


def spans(days: Collection[str | None]) -> Iterator[dict[str, str]]:
    """Ranges of days that follow upon each other, as the tags of a run; no tags: has no days."""
    if None in days:
        yield {}
    for first, last in ranges(day for day in days if day is not None):
        yield {FIRST_DAY: first, LAST_DAY: last}
