"""The command that shows the standing list: what is still failed or missing, and what mends it.

Heavy modules are imported inside the command, so that ``--help`` is quick.
"""

# ruff: noqa: PLC0415

import sys
from collections import Counter
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from storepipe_dagster.printing import format_option, print_rows

if TYPE_CHECKING:
    from storepipe_dagster.standing.lines import Line

DAY = click.DateTime(["%Y-%m-%d"])
COLUMNS = [
    "asset",
    "first_day",
    "last_day",
    "days",
    "state",
    "failure",
    "reason",
    "run_id",
    "repair",
]


@click.command()
@click.option(
    "--from",
    "first",
    type=DAY,
    help="First day; default: the first that was ever made or asked for.",
)
@click.option("--to", "last", type=DAY, help="Last day, included; default: yesterday.")
@click.option("--select", "selection", help="A Dagster asset selection; default: everything.")
@format_option
def status(first: datetime | None, last: datetime | None, selection: str | None, form: str) -> None:
    """List the days of each asset that are failed or missing, with the reason and the repair.

    Exit code 0 if there are none; days that are in progress do not count. A passing failure may be
    over when the same is run again; a permanent one stays until data or settings are mended.
    """
    from storepipe_dagster.instance import open_instance
    from storepipe_dagster.io_managers.lakes import lake_of
    from storepipe_dagster.partitions import DAYS, day_range
    from storepipe_dagster.resources import deployments
    from storepipe_dagster.runs import close_abandoned_runs, selected_assets, standing
    from storepipe_dagster.settings import settings
    from storepipe_dagster.standing.troubles import State

    keys, start = set(selected_assets(selection)), str(settings().storepipe_start_date)
    with open_instance(settings().dagster_home) as instance:
        close_abandoned_runs(instance)
        lake, database = lake_of(settings()), deployments.database(settings())
        stands = standing(instance, lake, database)
        begin = first.date() if first else date.fromisoformat(stands.first_day or start)
        end = last.date() if last else date.fromisoformat(DAYS.get_last_partition_key() or start)
        days = day_range(begin, end)
        lines = [line for line in stands.lines(days) if line.asset in keys]
    print_rows(for_people(lines) if form == "table" else for_programs(lines), form)
    counts = Counter(line.state.value for line in lines for _ in range(line.days or 1))
    told = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    click.echo(f"{days[0]} to {days[-1]}: {told or 'nothing is failed or missing'}.", err=True)
    sys.exit(any(line.state is not State.IN_PROGRESS for line in lines))


def for_people(lines: "list[Line]") -> object:
    """The lines as an Arrow table, with the days in words."""
    import pyarrow as pa

    programs: Any = for_programs(lines)
    days = pa.array([_in_words(line) for line in lines], pa.string())
    return programs.drop_columns(["first_day", "last_day"]).set_column(1, "days", days)


def _in_words(line: "Line") -> str | None:
    """Such as ``2024-01-01 to 2024-02-15 (46 days)``."""
    if line.days > 1:
        return f"{line.first} to {line.last} ({line.days:,} days)"
    return line.first


def for_programs(lines: "list[Line]") -> object:
    """The lines as an Arrow table, a column for each thing."""
    import pyarrow as pa

    rows = [
        {
            "asset": line.asset.to_user_string(),
            "first_day": line.first and date.fromisoformat(line.first),
            "last_day": line.last and date.fromisoformat(line.last),
            "days": line.days or None,
            "state": line.state.value,
            "failure": line.kind and line.kind.value,
            "reason": line.reason,
            "run_id": line.run_id,
            "repair": line.repair or None,
        }
        for line in lines
    ]
    types = {"first_day": pa.date32(), "last_day": pa.date32(), "days": pa.int64()}
    return pa.Table.from_pylist(
        rows, pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    )
