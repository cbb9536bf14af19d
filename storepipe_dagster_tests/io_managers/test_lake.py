"""Tests of `storepipe_dagster.io_managers.lake`."""

import dagster as dg
import pytest

from storepipe_dagster.io_managers.lake import Lake, MissingUpstreamError
from storepipe_dagster_tests.io_managers.small_graph import kill_in_mid_write, stop_here

CARTS = dg.AssetKey(["raw", "relational", "carts"])


def test_a_key_is_a_path_and_a_day_a_folder_in_it():
    lake = Lake(root="/lake")

    assert lake.path(CARTS) == "/lake/raw/relational/carts"
    assert lake.path(CARTS, "data.parquet") == "/lake/raw/relational/carts/data.parquet"
    assert (
        lake.day_path(CARTS, "cart_date", "2024-01-01", "data.parquet")
        == "/lake/raw/relational/carts/cart_date=2024-01-01/data.parquet"
    )


def test_readers_see_the_last_whole_file_until_the_next_is_whole(lake, root, listing):
    with lake.write(f"{root}/zone/page") as file:
        file.write(b"first")

    with lake.write(f"{root}/zone/page") as file:
        file.write(b"sec")
        file.flush()
        assert (root / "zone/page").read_bytes() == b"first"
        file.write(b"ond")

    assert (root / "zone/page").read_bytes() == b"second"
    assert listing() == ["zone/page"]


def test_a_failed_write_leaves_the_last_file_and_nothing_else(lake, root, listing):
    with lake.write(f"{root}/zone/page") as file:
        file.write(b"first")

    with pytest.raises(UnicodeEncodeError), lake.write(f"{root}/zone/page") as file:
        file.writelines(text.encode("ascii") for text in ("sec", "ö", "nd"))

    assert (root / "zone/page").read_bytes() == b"first"
    assert listing() == ["zone/page"]


def test_a_failed_first_write_leaves_nothing(lake, root, listing):
    with pytest.raises(ZeroDivisionError), lake.write(f"{root}/zone/page") as file:
        file.write(b"%d" % (1 // 0))

    assert listing() == []


def test_a_file_that_was_written_by_now_is_seen_in_a_listing(lake, root):
    with lake.write(f"{root}/zone/first") as file:
        file.write(b"1")
    assert len(lake.files.ls(f"{root}/zone")) == 1

    (root / "zone/second").write_bytes(b"2")  # another process did

    assert len(lake.files.ls(f"{root}/zone")) == 2


def write_and_stop(connection, root):
    with Lake(root=root).write(f"{root}/zone/page") as file:
        file.write(b"second")
        file.flush()
        stop_here(connection)


def test_a_killed_write_leaves_the_last_file_and_a_hidden_one(lake, root, listing):
    with lake.write(f"{root}/zone/page") as file:
        file.write(b"first")

    kill_in_mid_write(write_and_stop, str(root))

    assert (root / "zone/page").read_bytes() == b"first"
    hidden, page = listing()
    assert hidden.startswith("zone/.page.")
    assert page == "zone/page"


@pytest.mark.parametrize(
    ("days", "when", "span"),
    [
        ([], "", "--from DATE --to DATE"),
        (
            ["2024-01-01", "2024-01-03"],
            " for 2024-01-01, 2024-01-03",
            "--from 2024-01-01 --to 2024-01-03",
        ),
        (
            ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"],
            " for 2024-01-01, 2024-01-02, 2024-01-03 and 2 more days",
            "--from 2024-01-01 --to 2024-01-05",
        ),
    ],
    ids=["no days", "two days", "many days"],
)
def test_what_is_missing_is_told_with_the_remedy(days, when, span):
    assert str(MissingUpstreamError(CARTS, days)) == (
        f"raw/relational/carts has nothing in the lake{when}. Materialise it first, for example "
        f"with: storepipe run {span} --select '+key:\"raw/relational/carts\"'"
    )
