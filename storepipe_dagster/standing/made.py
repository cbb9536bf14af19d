"""When, and by which run, everything was made last."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timezone
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

from storepipe_dagster.standing.troubles import Day


@dataclass(frozen=True)
class Made:
    """The last materialisation of something: when, in seconds since the epoch."""

    run_id: str
    at: float


def made_days(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[Day, Made]:
    """The last materialisation of each day, read without its event, which takes far longer."""
    storage: Any = instance.event_log_storage
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    newest = storage.get_latest_storage_id_by_partition(key, kind)
    if not newest:
        return {}
    query = sa.select(Events.c.id, Events.c.partition, Events.c.run_id, Events.c.timestamp)
    query = query.where(
        Events.c.asset_key == key.to_string(),
        Events.c.dagster_event_type == kind.value,
        Events.c.id >= min(newest.values()),
    )
    wanted = set(newest.values())
    with storage.index_connection() as connection:
        return {
            row.partition: Made(row.run_id, _seconds(row.timestamp))
            for row in connection.execute(query)
            if row.id in wanted
        }


def made_whole(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]
) -> dict[dg.AssetKey, dict[Day, Made]]:
    """The last materialisation of each of some assets that have no days."""
    found: dict[dg.AssetKey, dict[Day, Made]] = {key: {} for key in keys}
    for record in instance.get_asset_records([*found]):
        entry = record.asset_entry
        if (last := entry.last_materialization) is not None:
            found[entry.asset_key][None] = Made(last.run_id, last.timestamp)
    return found


def _seconds(moment: Any) -> float:
    """Since the epoch; the event log has UTC without saying so."""
    return float(moment.replace(tzinfo=timezone.utc).timestamp())
