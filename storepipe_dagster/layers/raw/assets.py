"""What is captured from the store API, and where to."""

from datetime import date
from functools import partial

import dagster as dg
from pydantic import Field

from storepipe_dagster.asset_metadata import OWNERS, columns_of, tags_of
from storepipe_dagster.captures import Capture
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN
from storepipe_dagster.layers.raw.checks import (
    complete,
    few_records_are_rejected,
    judged,
    needed_fields_are_there,
)
from storepipe_dagster.layers.raw.schemas import Cart, Product, User
from storepipe_dagster.layers.raw.transforms import carts_by_day, snapshot
from storepipe_dagster.partitions import DAYS, SINGLE_RUN
from storepipe_dagster.patience import patience
from storepipe_dagster.resources.store_api import StoreApi

CAPTURE = dg.PythonObjectDagsterType(Capture)


class CaptureConfig(dg.Config):
    """How much of an answer may be bad."""

    max_rejected_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="The part of the records, in 0..1, that may break their contract.",
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
    ],
)
def raw_products(
    context: dg.AssetExecutionContext, config: CaptureConfig, store_api: StoreApi
) -> dg.MaterializeResult:
    """All products as the API gives them, one file per capture; no capture is ever overwritten."""
    with patience(context):
        return _captured(store_api.products(partial(snapshot, model=Product)), config)


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
    ],
)
def raw_users(
    context: dg.AssetExecutionContext, config: CaptureConfig, store_api: StoreApi
) -> dg.MaterializeResult:
    """All users as the API gives them, without passwords, one file per capture."""
    with patience(context):
        return _captured(store_api.users(partial(snapshot, model=User)), config)


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
    metadata={PARTITION_COLUMN: "cart_date", **columns_of(Cart)},
    check_specs=[
        few_records_are_rejected(["raw", "carts"]),
        needed_fields_are_there(["raw", "carts"]),
    ],
)
def raw_carts(
    context: dg.AssetExecutionContext, config: CaptureConfig, store_api: StoreApi
) -> dg.MaterializeResult:
    """The carts of each day as the API gives them, one file per capture; one call for all days."""
    days = [date.fromisoformat(day) for day in context.partition_keys]
    with patience(context):
        capture = store_api.carts(
            min(days), max(days), partial(carts_by_day, days=context.partition_keys)
        )
    return _captured(capture, config)


def _captured(capture: Capture, config: CaptureConfig) -> dg.MaterializeResult:
    few_rejected = capture.rejected_share <= config.max_rejected_share
    capture.refused = bool(capture.vanished_fields) or not few_rejected
    metadata: dict[str, dg.MetadataValue] = {
        "captured_at": dg.MetadataValue.timestamp(capture.captured_at)
    }
    if capture.unknown_fields:
        metadata["unknown_fields"] = dg.MetadataValue.json(sorted(capture.unknown_fields))
    if capture.missing_fields:
        metadata["missing_fields"] = dg.MetadataValue.json(sorted(capture.missing_fields))
    return dg.MaterializeResult(
        value=capture,
        metadata=metadata,
        check_results=[judged(capture, config.max_rejected_share), complete(capture)],
    )
