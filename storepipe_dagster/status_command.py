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
COLUMNS = {
    "asset": "VARCHAR",
    "first_day": "DATE",
    "last_day": "DATE",
    "days": "BIGINT",
    "state": "VARCHAR",
    "failure": "VARCHAR",
    "reason": "VARCHAR",
    "run_id": "VARCHAR",
    "repair": "VARCHAR",
}


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
    from storepipe_dagster.runs import selected_assets, standing
    from storepipe_dagster.settings import settings
    from storepipe_dagster.standing.troubles import State

    keys, start = set(selected_assets(selection)), str(settings().storepipe_start_date)
    with open_instance(settings().dagster_home) as instance:
        lake, database = lake_of(settings()), deployments.database(settings())
        stands = standing(instance, lake, database)
        begin = first.date() if first else date.fromisoformat(stands.first_day or start)
        end = last.date() if last else date.fromisoformat(DAYS.get_last_partition_key() or start)
        days = day_range(begin, end)
        lines = [line for line in stands.lines(days) if line.asset in keys]
    print_rows(*(for_people(lines) if form == "table" else for_programs(lines)), form)
    counts = Counter(line.state.value for line in lines for _ in range(line.days or 1))
    told = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    click.echo(f"{days[0]} to {days[-1]}: {told or 'nothing is failed or missing'}.", err=True)
    sys.exit(any(line.state is not State.IN_PROGRESS for line in lines))


def for_people(lines: "list[Line]") -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """The columns and the rows of the lines, with the days in words."""
    columns = {
        "days" if name == "first_day" else name: "VARCHAR"
        for name in COLUMNS
        if name not in {"last_day", "days"}
    }
    rows = for_programs(lines)[1]
    return columns, [
        (row[0], _in_words(line), *row[4:]) for line, row in zip(lines, rows, strict=True)
    ]


def _in_words(line: "Line") -> str | None:
    """Such as ``2024-01-01 to 2024-02-15 (46 days)``."""
    if line.days > 1:
        return f"{line.first} to {line.last} ({line.days:,} days)"
    return line.first


def for_programs(lines: "list[Line]") -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """The columns and the rows of the lines, a column for each thing."""
    return COLUMNS, [
        (
            line.asset.to_user_string(),
            line.first,
            line.last,
            line.days or None,
            line.state.value,
            line.kind and line.kind.value,
            line.reason,
            line.run_id,
            line.repair or None,
        )
        for line in lines
    ]
