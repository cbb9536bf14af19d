"""Tests of `storepipe_dagster.layers.raw.assets`, with a store on this machine and a lake."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from storepipe_dagster import failures
from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.capture_manifests import DamagedCaptureError
from storepipe_dagster.io_managers.earlier_captures import CaptureAheadError
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.layers.raw.assets import raw_carts, raw_products, raw_users
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster.resources.store_api import StoreApi
from storepipe_dagster.times import capture_stamp, stamped_time
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

DAY_1, DAY_2, DAY_3 = "2020-01-01", "2020-01-02", "2020-01-03"
SHRUNK = "no_records_vanish"


def carts(**per_day):
    """So many carts on each day, days as ``d1``."""
    return [
        {"id": number, "userId": 1, "date": f"2020-01-0{day[1]}T08:00:00Z", "products": []}
        for day, many in per_day.items()
        for number in range(many)
    ]


def products(many):
    return [{"id": number, "title": "Hat", "category": "c", "price": 1} for number in range(many)]


def users(many):
    return [{"id": number, "address": {"city": "Rome"}} for number in range(many)]


class Store:
    """Captures from literal answers into a lake of its own; one asset at a time."""

    def __init__(self, server, root):
        self.server = server
        self.root = root

    def capture(self, asset, answer, first=DAY_1, last=None, **config):
        """Give the failed checks, by name, of one capture."""
        path = f"/{asset.key.path[-1]}"
        self.server.steps[path] = [Step(json.dumps(answer).encode())]
        lake = Lake(root=str(self.root))
        days = {"partition_key": first}
        if last is not None:
            range_of = "dagster/asset_partition_range_"
            days = {"tags": {f"{range_of}start": first, f"{range_of}end": last}}
        with dg.DagsterInstance.ephemeral() as instance:
            done = dg.materialize(
                [asset],
                **(days if asset is raw_carts else {}),
                resources={
                    "store_api": StoreApi(base_url=self.server.url, tries=1),
                    "capture_files": CaptureFilesIOManager(
                        lake=lake, pyspark=InProcessSpark(lake=lake)
                    ),
                    "lake": lake,
                },
                run_config={"ops": {asset.op.name: {"config": config}}},
                raise_on_error=False,
                instance=instance,
            )
        for event in done.get_step_failure_events():
            if failures.cause(event.step_failure_data.error) is not None:
                raise AssertionError(failures.cause_of(event.step_failure_data.error).message)
        return {
            check.check_name: check.description
            for check in done.get_asset_check_evaluations()
            if not check.passed
        }

    def files(self, pattern):
        return sorted(self.root.glob(f"raw/{pattern}"))


@pytest.fixture
def store(tmp_path):
    with scripted_server() as server:
        yield Store(server, tmp_path)


# --- records that vanish ------------------------------------------------------------------------


def test_a_list_that_becomes_empty_is_refused(store):
    assert store.capture(raw_products, products(20)) == {}

    assert store.capture(raw_products, []) == {
        SHRUNK: "The list has 0 records where 20 were captured before. More than 20% are gone: "
        "this capture is kept as .refused.json, and the earlier one stays the current one. Run "
        "again when the store gives them all; if they are gone for good: storepipe run --from DATE "
        "--to DATE --accept-shrinking, or accept_shrinking in the run configuration."
    }

    assert len(store.files("products/*Z.json")) == 1
    assert len(store.files("products/*.refused.json")) == 1


@pytest.mark.parametrize(
    ("asset", "before", "after", "passes"),
    [
        (raw_products, products(20), products(10), False),
        (raw_users, users(20), users(10), False),
        (raw_users, users(20), [], False),
        (raw_users, users(5), [], False),
        (raw_users, users(4), [], True),  # fewer than five
        (raw_users, users(20), users(16), True),
        (raw_users, users(25), users(20), True),  # a fifth
        (raw_users, users(25), users(19), False),
        (raw_users, users(10), users(30), True),
        (raw_users, [], [], True),
    ],
)
def test_a_list_may_lose_a_fifth_or_fewer_than_five(store, asset, before, after, passes):
    assert store.capture(asset, before) == {}
    assert list(store.capture(asset, after)) == ([] if passes else [SHRUNK])


def test_it_is_refused_again_until_it_is_accepted(store):
    store.capture(raw_users, users(20))

    assert list(store.capture(raw_users, users(10))) == [SHRUNK]
    assert list(store.capture(raw_users, users(10))) == [SHRUNK]
    assert store.capture(raw_users, users(10), accept_shrinking=True) == {}
    assert store.capture(raw_users, users(10)) == {}

    assert len(store.files("users/*Z.json")) == 3
    assert json.loads(store.files("users/*Z.json")[-1].read_text()) == users(10)


def test_the_share_is_configured(store):
    store.capture(raw_users, users(20))

    assert list(store.capture(raw_users, users(14), max_lost_share=0.29)) == [SHRUNK]
    assert store.capture(raw_users, users(14), max_lost_share=0.3) == {}


def test_records_that_break_their_contract_are_not_gone(store):
    store.capture(raw_users, users(20))
    bad = [{"id": "x"}] * 10

    assert store.capture(raw_users, [*users(10), *bad], max_rejected_share=1) == {}


def test_carts_without_a_day_do_not_stand_in_for_those_of_the_first(store):
    store.capture(raw_carts, carts(d1=10))
    undated = [{"id": "x"}] * 10

    failed = store.capture(raw_carts, [*carts(d1=2), *undated], max_rejected_share=1)

    assert failed[SHRUNK].startswith(f"{DAY_1} has 2 records where 10 were captured before. ")


def test_many_days_are_not_all_named(store):
    store.capture(raw_carts, carts(**{f"d{day}": 6 for day in range(1, 9)}), DAY_1, "2020-01-08")

    failed = store.capture(raw_carts, [], DAY_1, "2020-01-08")

    assert failed[SHRUNK].startswith(
        "; ".join(
            f"2020-01-0{day} has 0 records where 6 were captured before" for day in range(1, 6)
        )
        + "; and likewise 3 more days; all 8 days have 0 records where 48 were captured before. "
    )


def test_one_day_that_is_emptied_among_others_is_named(store):
    store.capture(raw_carts, carts(d1=40, d2=5, d3=40), DAY_1, DAY_3)

    failed = store.capture(raw_carts, carts(d1=40, d3=80), DAY_1, DAY_3)

    assert failed[SHRUNK].startswith(f"{DAY_2} has 0 records where 5 were captured before. More")
    assert f"storepipe run --from {DAY_1} --to {DAY_3} --accept-shrinking" in failed[SHRUNK]
    assert len(store.files("carts/cart_date=*/*Z.json")) == 3
    assert len(store.files("carts/cart_date=*/*.refused.json")) == 3


def test_days_that_each_lose_too_little_are_seen_together(store):
    store.capture(raw_carts, carts(d1=12, d2=12, d3=12), DAY_1, DAY_3)

    assert store.capture(raw_carts, carts(d1=9, d2=10, d3=10), DAY_1, DAY_3) == {}
    store.capture(raw_carts, carts(d1=12, d2=12, d3=12), DAY_1, DAY_3)
    failed = store.capture(raw_carts, carts(d1=8, d2=9, d3=10), DAY_1, DAY_3)

    told = "all 3 days have 27 records where 36 were captured before. More than 20% are gone"
    assert failed[SHRUNK].startswith(told)


def test_small_days_that_are_all_emptied_are_seen_together(store):
    store.capture(raw_carts, carts(d1=3, d2=2, d3=90), DAY_1, DAY_3)

    failed = store.capture(raw_carts, carts(d3=90), DAY_1, DAY_3)

    assert failed[SHRUNK].startswith(
        f"{DAY_1} has 0 records where 3 were captured before; {DAY_2} has 0 records where 2 were"
    )


def test_growth_of_new_days_hides_no_loss(store):
    store.capture(raw_carts, carts(d1=6, d2=6), DAY_1, DAY_2)

    failed = store.capture(raw_carts, carts(d1=4, d2=3, d3=90), DAY_1, DAY_3)

    assert failed[SHRUNK].startswith("all 2 days have 7 records where 12 were captured before")


def test_a_first_capture_and_days_that_never_had_carts_pass(store):
    assert store.capture(raw_carts, carts(d1=9), DAY_1, DAY_2) == {}
    assert store.capture(raw_carts, carts(d1=9), DAY_1, DAY_3) == {}
    assert store.capture(raw_carts, [], DAY_2, DAY_3) == {}


# --- the clock ----------------------------------------------------------------------------------


def rename_all(store, pattern, by):
    """Give files the time that a clock would have had that was so much ahead; their stamps."""
    stamps = []
    for file in store.files(pattern):
        stamps.append(capture_stamp(stamped_time(file.name.removesuffix(".json")) + by))
        file.rename(file.with_name(f"{stamps[-1]}.json"))
    return stamps


def test_after_a_small_step_back_all_days_are_a_microsecond_after_the_newest(store):
    store.capture(raw_carts, carts(d1=1), DAY_1, DAY_2)
    (ahead,) = rename_all(store, f"carts/cart_date={DAY_2}/*", timedelta(minutes=4))

    store.capture(raw_carts, carts(d1=2), DAY_1, DAY_2)

    new = capture_stamp(stamped_time(ahead) + timedelta(microseconds=1))
    newest = [store.files(f"carts/cart_date={day}/*")[-1] for day in (DAY_1, DAY_2)]
    assert [file.name for file in newest] == [f"{new}.json"] * 2
    assert json.loads(newest[0].read_text()) == carts(d1=2)


@pytest.mark.parametrize("asset", [raw_products, raw_users, raw_carts])
def test_after_a_large_step_back_nothing_is_asked_nor_written(store, asset):
    answer = carts(d1=1) if asset is raw_carts else users(1) if asset is raw_users else products(1)
    store.capture(asset, answer)
    folder = "carts/cart_date=*" if asset is raw_carts else asset.key.path[-1]
    rename_all(store, f"{folder}/*Z.json", timedelta(minutes=6))
    before = store.files("**/*")
    asked = store.server.seen.copy()

    with pytest.raises(AssertionError, match=CaptureAheadError.__name__):
        store.capture(asset, answer)

    assert (store.files("**/*"), store.server.seen) == (before, asked)


def test_a_damaged_newest_capture_stops_the_next_one_where_no_manifest_counts_it(store):
    (store.root / "raw/users").mkdir(parents=True)
    Path(store.root / f"raw/users/{capture_stamp(datetime.now(timezone.utc))}.json").touch()

    with pytest.raises(AssertionError, match=DamagedCaptureError.__name__):
        store.capture(raw_users, users(1))
