"""What goes with a table: those made together with it and those made from it, and the commands.

A roll back of one leaves the others as they are.
"""

from collections.abc import Collection, Iterator

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from storepipe_dagster.history.rollback import RolledBack
from storepipe_dagster.history.tables import open_table, table_name, versions_of
from storepipe_dagster.history.versions import Version, files_of
from storepipe_dagster.io_managers.lake import Lake, persistent
from storepipe_dagster.partitions import DAYS


def siblings(graph: AssetGraph, key: dg.AssetKey) -> list[dg.AssetKey]:
    """The other assets of the step that makes it; none of a table that nothing makes any more."""
    return sorted(graph.get(key).assets_def.keys - {key}) if graph.has(key) else []


@persistent
def to_bring_along(
    graph: AssetGraph, instance: dg.DagsterInstance, lake: Lake, key: dg.AssetKey, done: RolledBack
) -> list[str]:
    """What else is to be done after a roll back, each with its command."""
    return [*_siblings(graph, lake, key, done), *_following(graph, instance, key, done)]


def _siblings(graph: AssetGraph, lake: Lake, key: dg.AssetKey, done: RolledBack) -> Iterator[str]:
    for other in siblings(graph, key):
        yield from _sibling(lake, table_name(key), other, done.to.run)


def _following(
    graph: AssetGraph, instance: dg.DagsterInstance, key: dg.AssetKey, done: RolledBack
) -> Iterator[str]:
    name = key.to_user_string()
    known = dg.AssetSelection.assets(*{key} & graph.get_all_asset_keys())
    after = known.downstream(include_self=False).resolve(graph)
    if after:
        first, last = _span(graph, instance, done, after)
        yield (
            f"Made from it: {', '.join(sorted(other.to_user_string() for other in after))}. "
            f"storepipe run --from {first} --to {last} "
            f"""--select 'key:"{name}"+ and not key:"{name}"'"""
        )


def _sibling(lake: Lake, name: str, other: dg.AssetKey, run: str | None) -> Iterator[str]:
    """A table of the same step, unless it is as that run left it."""
    versions = versions_of(lake, other)
    if not versions:
        return
    of_run = [version for version in versions if run and version.run == run]
    told = f"Made together with it: {other.to_user_string()}."
    if not of_run:
        yield f"{told} Which version goes with {name}, tells: storepipe history {table_name(other)}"
    elif files_of(open_table(lake, other)) != _files_at(lake, other, of_run[-1]):
        yield f"{told} storepipe rollback {table_name(other)} --to-version {of_run[-1].number}"


def _files_at(lake: Lake, key: dg.AssetKey, version: Version) -> object:
    return files_of(open_table(lake, key, version.number))


def _span(
    graph: AssetGraph,
    instance: dg.DagsterInstance,
    done: RolledBack,
    after: Collection[dg.AssetKey],
) -> tuple[str, str]:
    """The days that changed; of a table without days, those that the others have."""
    days = [day for day in done.parts if day is not None]
    if not days:
        with_days = (key for key in after if graph.get(key).partitions_def is not None)
        days = [day for key in with_days for day in instance.get_materialized_partitions(key)]
    days = days or [str(DAYS.get_last_partition_key())]
    return min(days), max(days)
