"""Tests of `storepipe_dagster.io_managers.pages`."""

import dagster as dg
import pytest

from storepipe_dagster.io_managers.lake import MissingUpstreamError
from storepipe_dagster_tests.io_managers.lakes import on_both
from storepipe_dagster_tests.io_managers.small_graph import materialize, metadata_by_day

KEY = "refined/report"
FILE = "refined/report/index.html"


def report_of(page):
    @dg.asset(key=KEY.split("/"), io_manager_key="pages")
    def report() -> str:
        return page

    return report


def read(resources):
    pages = []

    @dg.asset(ins={"report": dg.AssetIn(KEY.split("/"))})
    def reader(report: str) -> None:
        pages.append(report)

    materialize([report_of("unused"), reader], resources, select="reader")
    return pages


@on_both
def test_a_page_is_one_utf_8_file_and_is_read_as_written(resources, lake, listing, content):
    result = materialize([report_of("<h1>é</h1>")], resources)

    assert listing() == [FILE]
    assert content(FILE) == "<h1>é</h1>".encode()
    assert read(resources) == ["<h1>é</h1>"]
    url = lake.url(f"{lake.root}/{FILE}")
    assert metadata_by_day(result, KEY) == {
        None: {
            "path": f"{lake.root}/{FILE}",
            "dagster/size_bytes": 11,
            "files": 1,
            **({"url": url} if url else {}),
        }
    }


def test_a_page_is_replaced_whole(resources, listing):
    materialize([report_of("a long page")], resources)

    materialize([report_of("short")], resources)

    assert read(resources) == ["short"]
    assert listing() == [FILE]


def test_a_page_that_cannot_be_encoded_leaves_the_last_one(resources, listing):
    materialize([report_of("good")], resources)

    with pytest.raises(UnicodeEncodeError):
        materialize([report_of("half a character: \ud800")], resources)

    assert read(resources) == ["good"]
    assert listing() == [FILE]


def test_a_page_that_is_not_there_is_told(resources):
    with pytest.raises(MissingUpstreamError, match=r"refined/report has nothing in the lake\."):
        read(resources)
