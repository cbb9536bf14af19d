"""The commands about the history of tables: its versions, what changed, going back.

Heavy modules are imported inside the commands, so that ``--help`` is quick.
"""

# ruff: noqa: PLC0415

import click

from storepipe_dagster.printing import format_option, on_screen, print_rows, print_table


@click.command()
@click.argument("table")
@format_option
def history(table: str, form: str) -> None:
    """Show the versions of a Delta table, such as trusted.sales, the newest first.

    Rows that a write replaced by equal ones count as added and as removed; `storepipe changes`
    tells what differs. A version that is not readable was vacuumed.
    """
    from storepipe_dagster.history import tables
    from storepipe_dagster.history.listing import COLUMNS, as_rows
    from storepipe_dagster.io_managers.lake import persistent
    from storepipe_dagster.io_managers.lakes import lake_of
    from storepipe_dagster.settings import settings

    lake = lake_of(settings())
    with lake.explained():
        key = tables.find_table(lake, table)
        versions = persistent(tables.versions_of)(lake, key)
    print_rows(COLUMNS, as_rows(versions), form)


@click.command()
@click.argument("table")
@click.option("--from", "before", type=int, required=True, help="The earlier version.")
@click.option("--to", "after", type=int, required=True, help="The later version.")
@format_option
def changes(table: str, before: int, after: int, form: str) -> None:
    """Show the rows of a Delta table that were added, removed or changed between two versions."""
    from storepipe_dagster.history import changes as differences
    from storepipe_dagster.history import tables
    from storepipe_dagster.io_managers.lakes import lake_of
    from storepipe_dagster.row_keys import ROW_KEYS
    from storepipe_dagster.settings import settings

    lake = lake_of(settings())
    with lake.explained():
        key = tables.find_table(lake, table)
    found = differences.changes(lake, key, before, after, ROW_KEYS.get(tables.table_name(key), ()))
    print_table(found.rows, form)
    click.echo(
        f"{tables.table_name(key)} from version {before} to {after}: {found.added:,} rows added, "
        f"{found.removed:,} removed, {found.changed:,} changed.",
        err=True,
    )


@click.command()
@click.argument("table")
@click.option("--to-version", type=int, help="The version to go back to; see storepipe history.")
@click.option("--to-time", help="Or a time, as of which the table is to be; see storepipe sql.")
def rollback(table: str, to_version: int | None, to_time: str | None) -> None:
    """Make a Delta table what it was, as a new version: the job roll_back_table, run here.

    What came back is judged by the table's blocking checks. What is made from the table, or
    together with it, is not touched: it is named, with the command for it.
    """
    if (to_version is None) == (to_time is None):
        raise click.UsageError("Give --to-version or --to-time.")
    from storepipe_dagster.instance import open_instance
    from storepipe_dagster.leases import one_run_at_a_time
    from storepipe_dagster.runs import run_op_job
    from storepipe_dagster.settings import settings

    home = settings().dagster_home
    config = {"table": table, "version": to_version, "time": to_time}
    given = {name: value for name, value in config.items() if value is not None}
    with on_screen() as tell, one_run_at_a_time(tell), open_instance(home) as instance:
        name = "roll_back_table"
        progress = run_op_job(instance, name, {"ops": {name: {"config": given}}}, tell)
    if progress.problems:
        raise click.ClickException("\n".join(progress.problems))
