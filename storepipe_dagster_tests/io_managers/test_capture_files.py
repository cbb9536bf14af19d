"""Tests of `storepipe_dagster.io_managers.capture_files`."""

import hashlib
from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest
from pyspark.sql import DataFrame

from storepipe_dagster.captures import Capture
from storepipe_dagster.io_managers.capture_files import (
    AllCaptures,
    CaptureFilesIOManager,
    CurrentCaptures,
)
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN, MissingUpstreamError
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster_tests.io_managers.lakes import on_both
from storepipe_dagster_tests.io_managers.small_graph import (
    DAY_1,
    DAY_2,
    DAY_3,
    DAYS,
    SINGLE_RUN,
    kill_in_mid_write,
    materialize,
    metadata_by_day,
    stop_here,
)

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

NOON = datetime(2024, 1, 10, 12, 0, 0, 5, tzinfo=timezone.utc)
LATER = NOON + timedelta(microseconds=1)
BEFORE = "20240110T120000.000004Z"
AT_NOON = "20240110T120000.000005Z"
AT_LATER = "20240110T120000.000006Z"


def capture(at, accepted, rejected=()):
    """A capture of (day, record) pairs and (day, record, reason) triples."""
    made = Capture(captured_at=at)
    for day, record in accepted:
        made.accept(day, record)
    for day, record, reason in rejected:
        made.reject(day, record, reason)
    return made


def products_of(made):
    @dg.asset(key=["raw", "products"], io_manager_key="capture_files")
    def products() -> Capture:
        return made

    return products


def carts_of(made):
    @dg.asset(
        key=["raw", "carts"],
        partitions_def=DAYS,
        backfill_policy=SINGLE_RUN,
        io_manager_key="capture_files",
        metadata={PARTITION_COLUMN: "cart_date"},
    )
    def carts() -> Capture:
        return made

    return carts


def read_products(resources):
    """The current records."""
    read = []

    @dg.asset(ins={"captures": dg.AssetIn(["raw", "products"])})
    def reader(captures: CurrentCaptures) -> None:
        read.extend((one.day, one.records) for one in captures)

    materialize([products_of(None), reader], resources, select="reader")
    return read


def read_all_products(resources):
    """The records of all captures."""
    read = []

    @dg.asset(ins={"captures": dg.AssetIn(["raw", "products"])})
    def reader(captures: AllCaptures) -> None:
        read.extend(one.records for one in captures)

    materialize([products_of(None), reader], resources, select="reader")
    return read


def names_after(resources, name):
    """The names of the captures that `after` gives."""
    read = []

    @dg.asset(ins={"captures": dg.AssetIn(["raw", "products"])})
    def reader(captures: AllCaptures) -> None:
        read.extend(one.name for one in captures.after(name))

    materialize([products_of(None), reader], resources, select="reader")
    return read


def read_history(resources):
    """All captures, by Spark."""
    read = []

    @dg.asset(ins={"captures": dg.AssetIn(["raw", "products"])})
    def reader(captures: DataFrame) -> None:
        rows = captures.selectExpr(
            "date_format(captured_at, 'yyyy-MM-dd HH:mm:ss.SSSSSS')", "content"
        )
        read.extend(sorted(map(tuple, rows.collect())))

    materialize([products_of(None), reader], resources, select="reader")
    return read


def read_carts(resources, *days):
    """The current records by day; of all days if none are asked for."""
    read = []

    @dg.asset(
        ins={"captures": dg.AssetIn(["raw", "carts"])},
        partitions_def=DAYS if days else None,
        backfill_policy=SINGLE_RUN if days else None,
    )
    def reader(captures: CurrentCaptures) -> None:
        read.extend((one.day, one.records) for one in captures)

    materialize([carts_of(None), reader], resources, *days, select="reader")
    return read


@on_both
def test_a_capture_is_a_json_array_of_the_records_as_they_came(resources, captures, lake, content):
    made = capture(NOON, [(None, '{"id": 1, "price": 1.10}'), (None, '{"id":2,"title":"é"}')])

    result = materialize([products_of(made)], resources)

    assert captures() == [f"raw/products/{AT_NOON}.json"]
    text = content(f"raw/products/{AT_NOON}.json").decode()
    assert text == '[\n{"id": 1, "price": 1.10},\n{"id":2,"title":"é"}\n]\n'
    assert metadata_by_day(result, "raw/products") == {
        None: {
            "dagster/row_count": 2,
            "dagster/size_bytes": len(text.encode()),
            "files": 1,
            "rejected": 0,
            "path": f"{lake.root}/raw/products/{AT_NOON}.json",
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
    }
    assert read_products(resources) == [(None, [{"id": 1, "price": 1.1}, {"id": 2, "title": "é"}])]


def test_a_capture_without_records_is_an_empty_array(resources, content):
    materialize([products_of(capture(NOON, []))], resources)

    assert content(f"raw/products/{AT_NOON}.json").decode() == "[]\n"
    assert read_products(resources) == [(None, [])]


def test_rejected_records_stand_beside_with_their_reasons(resources, captures, content):
    made = capture(NOON, [(None, '{"id": 1}')], [(None, '{"id": "x"}', "id: not a number")])

    result = materialize([products_of(made)], resources)

    assert captures() == [
        f"raw/products/{AT_NOON}.json",
        f"raw/products/{AT_NOON}.rejected.json",
    ]
    assert content(f"raw/products/{AT_NOON}.rejected.json").decode() == (
        '[\n{"reason": "id: not a number", "record": {"id": "x"}}\n]\n'
    )
    assert metadata_by_day(result, "raw/products")[None]["rejected"] == 1
    assert read_products(resources) == [(None, [{"id": 1}])]


@on_both
def test_a_later_capture_is_the_current_one_and_the_earlier_stays(resources, captures, content):
    materialize([products_of(capture(NOON, [(None, '{"id": 1}')]))], resources)
    earlier = content(f"raw/products/{AT_NOON}.json").decode()

    materialize([products_of(capture(LATER, [(None, '{"id": 2}')]))], resources)

    assert captures() == [f"raw/products/{AT_NOON}.json", f"raw/products/{AT_LATER}.json"]
    assert content(f"raw/products/{AT_NOON}.json").decode() == earlier
    assert read_products(resources) == [(None, [{"id": 2}])]


def test_captures_of_the_same_moment_get_names_of_their_own(resources, captures):
    materialize([products_of(capture(NOON, [(None, '{"id": 1}')]))], resources)

    materialize(
        [products_of(capture(NOON, [(None, '{"id": 2}')], [(None, "{}", "id")]))], resources
    )

    assert captures() == [
        f"raw/products/{AT_NOON}.json",
        f"raw/products/{AT_LATER}.json",
        f"raw/products/{AT_LATER}.rejected.json",
    ]
    assert read_products(resources) == [(None, [{"id": 2}])]


def test_the_history_is_every_capture_at_its_microsecond_without_the_rejected(resources):
    materialize(
        [products_of(capture(NOON, [(None, '{"id": 1}')], [(None, "{}", "id")]))], resources
    )
    materialize([products_of(capture(LATER, [(None, '{"id": 2}')]))], resources)

    assert read_history(resources) == [
        ("2024-01-10 12:00:00.000005", '[\n{"id": 1}\n]\n'),
        ("2024-01-10 12:00:00.000006", '[\n{"id": 2}\n]\n'),
    ]


def test_all_captures_come_with_the_newest_first_without_the_rejected_and_the_refused(resources):
    refused = capture(LATER + timedelta(days=1), [(None, '{"id": 3}')])
    refused.refused = True
    for made in (
        capture(NOON, [(None, '{"id": 1}')], [(None, "{}", "id")]),
        capture(LATER, [(None, '{"id": 2}')]),
        refused,
    ):
        materialize([products_of(made)], resources)

    assert read_all_products(resources) == [[{"id": 2}], [{"id": 1}]]


def test_one_day_is_written_and_read(resources, captures):
    materialize([carts_of(capture(NOON, [(DAY_2, '{"id": 1}')]))], resources, DAY_2)

    assert captures() == [f"raw/carts/cart_date={DAY_2}/{AT_NOON}.json"]
    assert read_carts(resources, DAY_2) == [(DAY_2, [{"id": 1}])]


@on_both
def test_a_range_is_one_file_per_day_also_for_days_without_carts(resources, captures, lake):
    made = capture(
        NOON,
        [(DAY_3, '{"id": 3}'), (DAY_1, '{"id": 1}'), (DAY_3, '{"id": 4}')],
        [(DAY_2, "{}", "id")],
    )

    result = materialize([carts_of(made)], resources, DAY_1, DAY_3)

    assert captures() == [
        f"raw/carts/cart_date={DAY_1}/{AT_NOON}.json",
        f"raw/carts/cart_date={DAY_2}/{AT_NOON}.json",
        f"raw/carts/cart_date={DAY_2}/{AT_NOON}.rejected.json",
        f"raw/carts/cart_date={DAY_3}/{AT_NOON}.json",
    ]
    days = metadata_by_day(result, "raw/carts")
    assert {day: (told["dagster/row_count"], told["rejected"]) for day, told in days.items()} == {
        DAY_1: (1, 0),
        DAY_2: (0, 1),
        DAY_3: (2, 0),
    }
    assert days[DAY_3]["path"] == f"{lake.root}/raw/carts/cart_date={DAY_3}/{AT_NOON}.json"
    assert read_carts(resources, DAY_2, DAY_3) == [(DAY_2, []), (DAY_3, [{"id": 3}, {"id": 4}])]


def test_an_asset_without_days_reads_all_days(resources):
    made = capture(NOON, [(DAY_1, '{"id": 1}'), (DAY_3, '{"id": 3}')])
    materialize([carts_of(made)], resources, DAY_1, DAY_3)

    assert read_carts(resources) == [(DAY_1, [{"id": 1}]), (DAY_2, []), (DAY_3, [{"id": 3}])]


def test_capturing_a_day_again_replaces_what_is_current_of_that_day_only(resources):
    both = capture(NOON, [(DAY_1, '{"id": 1}'), (DAY_2, '{"id": 2}')])
    materialize([carts_of(both)], resources, DAY_1, DAY_2)

    materialize([carts_of(capture(LATER, []))], resources, DAY_1)

    assert read_carts(resources, DAY_1, DAY_2) == [(DAY_1, []), (DAY_2, [{"id": 2}])]


def test_a_day_is_read_only_when_it_is_reached(resources, lake):
    both = capture(NOON, [(DAY_1, '{"id": 1}'), (DAY_2, '{"id": 2}')])
    materialize([carts_of(both)], resources, DAY_1, DAY_2)
    lake.files.pipe_file(f"{lake.root}/raw/carts/cart_date={DAY_2}/{AT_NOON}.json", b"broken")
    read = []

    @dg.asset(
        ins={"captures": dg.AssetIn(["raw", "carts"])},
        partitions_def=DAYS,
        backfill_policy=SINGLE_RUN,
    )
    def reader(captures: CurrentCaptures) -> None:
        read.extend(next(iter(captures)).records)

    materialize([carts_of(None), reader], resources, DAY_1, DAY_2, select="reader")

    assert read == [{"id": 1}]


def test_days_that_were_not_captured_are_named(resources):
    materialize([carts_of(capture(NOON, []))], resources, DAY_2)

    with pytest.raises(MissingUpstreamError, match=f"^raw/carts .* for {DAY_1}, {DAY_3}. "):
        read_carts(resources, DAY_1, DAY_3)


@pytest.mark.parametrize("read", [read_products, read_all_products, read_history])
def test_a_table_that_was_not_captured_is_named(resources, read):
    with pytest.raises(MissingUpstreamError, match=r"^raw/products has nothing in the lake\. "):
        read(resources)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("", [AT_LATER, AT_NOON, BEFORE]),
        (f"{BEFORE}.json", [AT_LATER, AT_NOON]),
        (f"{AT_NOON}.json", [AT_LATER]),
        (f"{AT_LATER}.json", [AT_LATER]),
        ("20990101T000000.000000Z.json", [AT_LATER]),
    ],
)
def test_captures_after_a_named_one_are_given_and_the_newest_in_any_case(resources, name, names):
    for at in (NOON - timedelta(microseconds=1), NOON, LATER):
        materialize([products_of(capture(at, [(None, "{}")]))], resources)
    assert names_after(resources, name) == [f"{stamp}.json" for stamp in names]


class BrokenOff:
    """The records of a capture, which break off after the first."""

    def __init__(self, then):
        self.counts = {None: 2}
        self._then = then

    def texts(self, partition):
        yield '{"id": 1}'
        self._then()


def broken_capture(then):
    made = Capture(captured_at=LATER)
    made.accepted = BrokenOff(then)
    return made


@on_both
def test_a_failed_capture_leaves_the_last_one_and_nothing_else(resources, captures):
    materialize([products_of(capture(NOON, [(None, '{"id": 0}')]))], resources)

    def fail():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        materialize([products_of(broken_capture(fail))], resources)

    assert captures() == [f"raw/products/{AT_NOON}.json"]
    assert read_products(resources) == [(None, [{"id": 0}])]


def write_and_stop(connection, make_lake):
    lake = make_lake()
    manager = CaptureFilesIOManager(lake=lake, pyspark=InProcessSpark(lake=lake))
    made = broken_capture(lambda: stop_here(connection))
    materialize([products_of(made)], {"capture_files": manager})


def test_a_killed_capture_is_invisible_and_repaired_by_the_next(resources, captures, make_lake):
    materialize([products_of(capture(NOON, [(None, '{"id": 0}')]))], resources)

    kill_in_mid_write(write_and_stop, make_lake)

    assert [file for file in captures() if "/." not in file] == [f"raw/products/{AT_NOON}.json"]
    assert read_products(resources) == [(None, [{"id": 0}])]
    assert read_history(resources) == [("2024-01-10 12:00:00.000005", '[\n{"id": 0}\n]\n')]

    materialize([products_of(capture(LATER, [(None, '{"id": 1}')]))], resources)

    assert read_products(resources) == [(None, [{"id": 1}])]
    assert len(read_history(resources)) == 2
