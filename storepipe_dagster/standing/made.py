"""When, and by which run, everything was made last."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timezone
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

from storepipe_dagster.standing.troubles import Day

MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION
OBSERVATION = dg.DagsterEventType.ASSET_OBSERVATION


@dataclass(frozen=True)
class Made:
    """The last materialisation of something, or the roll back that took it away, which is later.

    ``at`` is in seconds since the epoch.
    """

    run_id: str
    at: float
    is_gone: bool = False


def made_days(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[Day, Made]:
    """The last materialisation of each day, read without its event, which takes far longer.

    A day that was observed since is gone: only roll backs observe days (``history.ops``).
    """
    storage: Any = instance.event_log_storage
    made = storage.get_latest_storage_id_by_partition(key, MATERIALIZATION)
    if not made:
        return {}
    gone = storage.get_latest_storage_id_by_partition(key, OBSERVATION)
    newest = {max(number, gone.get(day, 0)) for day, number in made.items()}
    query = sa.select(
        Events.c.id,
        Events.c.partition,
        Events.c.run_id,
        Events.c.timestamp,
        Events.c.dagster_event_type,
    ).where(
        Events.c.asset_key == key.to_string(),
        Events.c.dagster_event_type.in_([MATERIALIZATION.value, OBSERVATION.value]),
        Events.c.id >= min(newest),
    )
    with storage.index_connection() as connection:
        return {
            row.partition: Made(
                row.run_id, _seconds(row.timestamp), row.dagster_event_type == OBSERVATION.value
            )
            for row in connection.execute(query)
            if row.id in newest
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
