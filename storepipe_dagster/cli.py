"""The commands; each reads its options, calls one thing and prints what came of it.

Heavy modules are imported inside the commands, so that ``--help`` is quick.
"""

# ruff: noqa: PLC0415

import contextlib
import gc
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from storepipe_dagster import history_commands, local_disks
from storepipe_dagster.atomic_files import write_atomically
from storepipe_dagster.errors import UserError
from storepipe_dagster.open_files import limit, with_remedy
from storepipe_dagster.printing import format_option, on_screen, print_query
from storepipe_dagster.process import prepare_process
from storepipe_dagster.status_command import status

DAY = click.DateTime(["%Y-%m-%d"])
WEBSERVER_PORT = 3000
DEMO_CARTS, DEMO_DAYS, DEMO_SEED = 5000, 180, 1
DEMO_SHOP = "demo.json"
INTERRUPTED = 128 + signal.SIGINT
MOST_DAYS = 36_525  # a century
# Python looks for garbage after 700, which a sixth of the time to import Dagster goes into.
OBJECTS_BEFORE_COLLECTION = 100_000
FIRST_DEMO_DAY = date(2020, 1, 1)  # SyntheticShop's

carts_option = click.option(
    "--carts", default=DEMO_CARTS, show_default=True, type=click.IntRange(min=0), help="Carts."
)
days_option = click.option(
    "--days", default=DEMO_DAYS, show_default=True, type=click.IntRange(1, MOST_DAYS), help="Days."
)
seed_option = click.option(
    "--seed", default=DEMO_SEED, show_default=True, help="The same seed makes the same shop."
)


class DemoHomeError(UserError):
    """The demo would write among the data of another store."""


class RunFailedError(UserError):
    """A run did not succeed, or a blocking check failed."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def storepipe() -> None:
    """The store pipeline: from the Fake Store API to a data lake. Settings: see .env.example."""


@storepipe.command()
@carts_option
@days_option
@seed_option
def demo(carts: int, days: int, seed: int) -> None:
    """Run the whole graph on a synthetic shop, with no network."""
    started = time.monotonic()
    import dagster as dg

    from storepipe_dagster.io_managers import pages
    from storepipe_dagster.io_managers.lakes import lake_of
    from storepipe_dagster.partitions import day_range
    from storepipe_dagster.settings import settings

    last = FIRST_DEMO_DAY + timedelta(days=days - 1)
    day_range(FIRST_DEMO_DAY, last)  # raises before the home is this shop's
    home, lake = settings().storepipe_home, lake_of(settings())
    if not (home / DEMO_SHOP).exists() and not lake.is_empty():
        raise DemoHomeError(
            f"The lake of {home} holds data of another store, which the demo's would mix with. "
            "Set STOREPIPE_HOME to another folder; in Azure, name another storage account too."
        )
    shop = {"carts": carts, "days": days, "seed": seed}
    if (home / DEMO_SHOP).exists() and (kept := _demo_shop(home)) != shop:
        raise DemoHomeError(
            f"{home} holds the demo of another shop ({json.dumps(kept)}), which this "
            "one's would mix with. Remove that folder, or set STOREPIPE_HOME to another."
        )
    write_atomically(home / DEMO_SHOP, json.dumps(shop))
    with _serve(shop):
        _materialize(FIRST_DEMO_DAY, last, None)
    click.echo(f"\nThe lake is {lake.address}. Look at it:")
    report = lake.path(dg.AssetKey(["refined", "store_report"]), pages.FILE)
    click.echo(f"  the report      {report}")
    click.echo('  with SQL        storepipe sql "SELECT * FROM refined.sales_by_category"')
    click.echo(f"  in Dagster      make dev, then http://127.0.0.1:{WEBSERVER_PORT}")
    click.echo(f"Done in {time.monotonic() - started:.1f} s.")


@storepipe.command()
@click.option("--from", "first", type=DAY, required=True, help="First day, YYYY-MM-DD (UTC).")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@click.option("--select", "selection", help="A Dagster asset selection; default: everything.")
@click.option(
    "--offline",
    is_flag=True,
    help="Capture nothing: make everything else from the captures in the lake.",
)
@click.option(
    "--accept-shrinking",
    is_flag=True,
    help="Let captures pass that have far fewer records than the newest ones before.",
)
def run(
    first: datetime, last: datetime, selection: str | None, offline: bool, accept_shrinking: bool
) -> None:
    """Materialise the graph, or a selection of it, for a range of days in one run."""
    options = {"offline": offline, "accept_shrinking": accept_shrinking}
    with contextlib.nullcontext() if offline else _store_of_home():
        _materialize(first.date(), last.date(), selection, **options)


@storepipe.command()
@click.argument("query")
@click.option(
    "--as-of",
    metavar="TIME",
    help="Show trusted and refined as they were then: an ISO 8601 time, UTC unless it tells "
    "otherwise, or a date for the end of that day. raw_relational has no history, and no tables "
    "then.",
)
@click.option(
    "--version",
    "versions",
    metavar="TABLE=N",
    multiple=True,
    help="Show a table as it was at a version, for example trusted.sales=3; may be repeated.",
)
@click.option(
    "--unsafe",
    is_flag=True,
    help="Let the query do all that DuckDB can: read and write any file of yours, load extensions.",
)
@format_option
def sql(query: str, as_of: str | None, versions: tuple[str, ...], unsafe: bool, form: str) -> None:
    """Ask the lake with DuckDB SQL: schemas raw_relational, trusted and refined.

    A query reads these tables and nothing else: no other files, no COPY, no ATTACH.
    """
    import duckdb

    from storepipe_dagster.history import tables
    from storepipe_dagster.io_managers.lakes import lake_of
    from storepipe_dagster.resources.lake_sql import LakeSql, expect_reading
    from storepipe_dagster.settings import settings

    lake = lake_of(settings())
    try:
        moment = tables.moment_of(as_of) if as_of is not None else None
        numbers = dict(tables.named_version(lake, text) for text in versions)
        with LakeSql(lake).connect(
            moment, numbers, queries=[query], skip_damaged=True, sealed=not unsafe
        ) as connection:
            if not unsafe:
                expect_reading(connection, query)
            with ThreadPoolExecutor(1) as apart:  # DuckDB may be deaf to Ctrl-C in the main thread
                printing = apart.submit(print_query, connection, query, form)
                try:
                    printing.result()
                except KeyboardInterrupt:
                    connection.interrupt()
                    raise
    except duckdb.Error as error:
        hint = f"\nThe lake {lake.address} is empty: make demo." if lake.is_empty() else ""
        if as_of is not None:
            hint += f"\nAs of {as_of} there are the Delta tables of then; raw_relational has none."
        message = local_disks.with_remedy(with_remedy(f"{error}{hint}", limit()))
        raise click.ClickException(message) from None


@storepipe.command()
@click.option("--port", default=8000, show_default=True, help="Port on 127.0.0.1; 0: a free one.")
@carts_option
@days_option
@seed_option
@click.option(
    "--from-dir",
    type=click.Path(path_type=Path),
    help="Serve products.json, users.json and carts.json of this folder instead.",
)
def store(port: int, carts: int, days: int, seed: int, from_dir: Path | None) -> None:
    """Serve a Fake Store compatible API until interrupted; prints its base URL first."""
    from storepipe_dagster.store.server import serve_forever

    serve_forever(_shop(carts, days, seed, from_dir), port=port)


@storepipe.command()
def doctor() -> None:
    """Check each service that the settings name: a line each, exit code 1 if any is wrong."""
    from storepipe_dagster.doctor.examination import examine
    from storepipe_dagster.settings import settings

    with _store_of_home():
        well = examine(settings(), click.echo)
    sys.stdout.flush()
    # Not sys.exit: on its way out PySpark says farewell to a server that may never answer.
    os._exit(not well)


@storepipe.command()
def dev() -> None:
    """Start Dagster's webserver and daemon, on the history that the other commands write."""
    from storepipe_dagster.instance import open_instance
    from storepipe_dagster.settings import settings

    with open_instance(settings().dagster_home):
        pass  # what is wrong with it is one message here, and a stack trace of each service there
    services = [sys.executable, "-m", "storepipe_dagster.dev"]
    where = ["--host", "127.0.0.1", "--port", str(WEBSERVER_PORT)]
    command = [*services, "--module-name", "storepipe_dagster.definitions", *where]
    with _store_of_home(), subprocess.Popen(command) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while process.poll() is None:
            # Ctrl-C reaches both; Dagster ends its own services, which takes a moment.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    sys.exit(process.returncode)


for command in (history_commands.history, history_commands.changes, history_commands.rollback):
    storepipe.add_command(command)
storepipe.add_command(status)


def main() -> None:
    """Run a command; a mistake of the user's ends in one message and exit code 1, Ctrl-C in 130."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    try:
        prepare_process()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a locale may lack letters
                stream.reconfigure(errors="backslashreplace")
        sys.exit(storepipe.main(prog_name="storepipe", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:  # what click makes of Ctrl-C
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = _message_of(error)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(1)


def _message_of(error: Exception) -> str | None:
    """What a person is told of an error; nothing of one that is a defect of ours."""
    if not isinstance(error, UserError):  # of settings too, which name the places
        error = local_disks.explained(error, _places()) or error
    if isinstance(error, local_disks.DiskError):
        command = shlex.join(["storepipe", *sys.argv[1:]])
        return f"{str(error).removesuffix('.')}: {command}"
    if isinstance(error, OSError):
        return with_remedy(str(error), limit())
    return str(error) if isinstance(error, UserError) else None


def _places() -> list[Path]:
    """The folders of this machine that commands write to."""
    from storepipe_dagster.settings import settings

    home, dagster_home = settings().storepipe_home, os.environ.get("DAGSTER_HOME")
    places = [home, *map(Path, [dagster_home] if dagster_home else [])]
    return [*places, local_disks.temporary_folder()]


@contextlib.contextmanager
def _serve(shop: dict[str, Any]) -> Iterator[None]:
    """Serve a synthetic shop in a process of its own, and capture from it."""
    from storepipe_dagster.settings import settings
    from storepipe_dagster.store.process import store_process

    with store_process(**shop) as base_url:
        os.environ["STOREPIPE_API_URL"] = base_url
        settings.cache_clear()
        yield


def _store_of_home() -> contextlib.AbstractContextManager[None]:
    """Serve the demo's shop to a home that the demo made, unless STOREPIPE_API_URL is set."""
    from storepipe_dagster.settings import settings

    home = settings().storepipe_home
    if "storepipe_api_url" in settings().model_fields_set or not (home / DEMO_SHOP).exists():
        return contextlib.nullcontext()
    return _serve(_demo_shop(home))


def _demo_shop(home: Path) -> dict[str, Any]:
    """Which synthetic shop the demo of a home is of; raises ``DemoHomeError``."""
    file = home / DEMO_SHOP
    try:
        shop = json.loads(file.read_bytes())
        return {name: int(shop[name]) for name in ("carts", "days", "seed")}
    except (ValueError, TypeError, KeyError):
        raise DemoHomeError(
            f"{file} is damaged: it is no longer known which shop this home's demo is of. Write "
            f'{{"carts": {DEMO_CARTS}, "days": {DEMO_DAYS}, "seed": {DEMO_SEED}}} into it, or what '
            f"the demo was made with, or remove {home} and make the demo again."
        ) from None


def _materialize(
    first: date,
    last: date,
    selection: str | None,
    *,
    offline: bool = False,
    accept_shrinking: bool = False,
) -> None:
    from storepipe_dagster.instance import open_instance
    from storepipe_dagster.leases import one_run_at_a_time
    from storepipe_dagster.settings import settings

    started = time.monotonic()
    home = settings().dagster_home
    from storepipe_dagster.partitions import day_range

    days = day_range(first, last)
    from storepipe_dagster.runs import accepting_shrinking, materialize, selected_assets

    keys = selected_assets(selection, offline=offline)
    config = accepting_shrinking(keys) if accept_shrinking else None
    plural = "assets" if len(keys) > 1 else "asset"
    span = f"{days[0]} to {days[-1]} ({len(days)} days)" if len(days) > 1 else days[0]
    source = "the captures in the lake" if offline else settings().storepipe_api_url
    click.echo(f"{len(keys)} {plural}, {span}, from {source}", err=True)
    with on_screen() as tell, one_run_at_a_time(tell), open_instance(home) as instance:
        progress = materialize(instance, days, keys, tell, config)
    if progress.problems:
        raise RunFailedError("\n".join(progress.problems))
    click.echo(f"{len(keys)} {plural} in 1 run: {time.monotonic() - started:.1f} s.")


def _shop(carts: int, days: int, seed: int, from_dir: Path | None) -> Any:
    if from_dir is not None:
        from storepipe_dagster.store.folder import FolderShop

        return FolderShop(from_dir)
    from storepipe_dagster.store.synthetic import SyntheticShop

    return SyntheticShop(carts=carts, days=days, seed=seed)


if __name__ == "__main__":
    main()
