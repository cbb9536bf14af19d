"""What is captured from the store API, and where to."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timezone
from functools import partial

import dagster as dg
from pydantic import Field

from storepipe_dagster.asset_metadata import OWNERS, columns_of, tags_of
from storepipe_dagster.captures import Capture
from storepipe_dagster.io_managers.earlier_captures import earlier_captures
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN, Lake
from storepipe_dagster.layers.raw.checks import (
    complete,
    few_records_are_rejected,
    judged,
    kept,
    needed_fields_are_there,
    no_records_vanish,
)
from storepipe_dagster.layers.raw.schemas import Cart, Product, User
from storepipe_dagster.layers.raw.transforms import carts_by_day, snapshot
from storepipe_dagster.partitions import DAYS, FIRST_DAY, LAST_DAY, ONE_DAY, SINGLE_RUN
from storepipe_dagster.patience import patience
from storepipe_dagster.resources.store_api import StoreApi

CAPTURE = dg.PythonObjectDagsterType(Capture)
CART_DATE = "cart_date"


class CaptureConfig(dg.Config):
    """How much of an answer may be bad, or missing."""

    max_rejected_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="The part of the records, in 0..1, that may break their contract.",
    )
    max_lost_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="The part of the records of the newest capture, in 0..1, that may be missing.",
    )
    accept_shrinking: bool = Field(
        default=False,
        description="Let a capture pass that lacks more than max_lost_share.",
    )


@dg.asset(
    key=["raw", "products"],
    group_name="raw",
    io_manager_key="capture_files",
    dagster_type=CAPTURE,
    kinds={"json"},
    owners=OWNERS,
    tags=tags_of("raw", "products", Product),
    metadata=columns_of(Product),
    check_specs=[
        few_records_are_rejected(["raw", "products"]),
        needed_fields_are_there(["raw", "products"]),
        no_records_vanish(["raw", "products"]),
    ],
)
def raw_products(
    context: dg.AssetExecutionContext,
    config: CaptureConfig,
    store_api: dg.ResourceParam[StoreApi],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult:
    """All products as the API gives them, one file per capture; no capture is ever overwritten."""
    take = partial(snapshot, model=Product)
    return _captured(context, config, lake, lambda: store_api.products(take))


@dg.asset(
    key=["raw", "users"],
    group_name="raw",
    io_manager_key="capture_files",
    dagster_type=CAPTURE,
    kinds={"json"},
    owners=OWNERS,
    tags=tags_of("raw", "customers", User),
    metadata=columns_of(User),
    check_specs=[
        few_records_are_rejected(["raw", "users"]),
        needed_fields_are_there(["raw", "users"]),
        no_records_vanish(["raw", "users"]),
    ],
)
def raw_users(
    context: dg.AssetExecutionContext,
    config: CaptureConfig,
    store_api: dg.ResourceParam[StoreApi],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult:
    """All users as the API gives them, without passwords, one file per capture."""
    take = partial(snapshot, model=User)
    return _captured(context, config, lake, lambda: store_api.users(take))


@dg.asset(
    key=["raw", "carts"],
    group_name="raw",
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    io_manager_key="capture_files",
    dagster_type=CAPTURE,
    kinds={"json"},
    owners=OWNERS,
    tags=tags_of("raw", "sales", Cart),
    metadata={PARTITION_COLUMN: CART_DATE, **columns_of(Cart)},
    check_specs=[
        few_records_are_rejected(["raw", "carts"]),
        needed_fields_are_there(["raw", "carts"]),
        no_records_vanish(["raw", "carts"]),
    ],
)
def raw_carts(
    context: dg.AssetExecutionContext,
    config: CaptureConfig,
    store_api: dg.ResourceParam[StoreApi],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult:
    """The carts of each day as the API gives them, one file per capture; one call for all days."""
    days = context.partition_keys
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    take = partial(carts_by_day, days=days)
    return _captured(context, config, lake, lambda: store_api.carts(first, last, take), days)


def _captured(
    context: dg.AssetExecutionContext,
    config: CaptureConfig,
    lake: Lake,
    ask: Callable[[], Capture],
    days: Sequence[str] = (),
) -> dg.MaterializeResult:
    """Capture what ``ask`` gives, later than what was captured before, and compare the two."""
    now = datetime.now(timezone.utc)
    column = CART_DATE if days else None
    earlier = earlier_captures(lake, context.asset_key, column, days or [None], now)
    with patience(context):
        capture = ask()
    capture.captured_at = earlier.later(capture.captured_at)
    checks = [
        judged(capture, config.max_rejected_share),
        complete(capture),
        kept(
            capture,
            earlier.records,
            config.max_lost_share,
            accept_shrinking=config.accept_shrinking,
            span=_span(context.run),
        ),
    ]
    capture.refused = not all(check.passed for check in checks)
    metadata: dict[str, dg.MetadataValue] = {
        "captured_at": dg.MetadataValue.timestamp(capture.captured_at)
    }
    if capture.unknown_fields:
        metadata["unknown_fields"] = dg.MetadataValue.json(sorted(capture.unknown_fields))
    if capture.missing_fields:
        metadata["missing_fields"] = dg.MetadataValue.json(sorted(capture.missing_fields))
    return dg.MaterializeResult(value=capture, metadata=metadata, check_results=checks)


def _span(run: dg.DagsterRun) -> str:
    """The days of a run, as options of ``storepipe run``."""
    first = run.tags.get(FIRST_DAY, run.tags.get(ONE_DAY, "DATE"))
    return f"--from {first} --to {run.tags.get(LAST_DAY, first)}"
