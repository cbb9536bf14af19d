"""Tests of `storepipe_dagster.io_managers.capture_manifests`, through those who read captures."""

import hashlib
import json
import re

import dagster as dg
import pytest

from storepipe_dagster.io_managers.capture_manifests import DamagedCaptureError, read_facts
from storepipe_dagster_tests.io_managers.lakes import on_both
from storepipe_dagster_tests.io_managers.small_graph import DAY_1, DAY_2, DAY_3, materialize
from storepipe_dagster_tests.io_managers.test_capture_files import (
    AT_LATER,
    AT_NOON,
    LATER,
    NOON,
    capture,
    carts_of,
    products_of,
    read_all_products,
    read_carts,
    read_history,
    read_products,
)

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

HATS = [{"id": 1, "title": "Hat"}, {"id": 2, "title": "Cap"}]
TEXT = b'[\n{"id": 1, "title": "Hat"},\n{"id": 2, "title": "Cap"}\n]\n'
PRODUCTS = f"raw/products/{AT_NOON}.json"
MANIFEST = f"raw/products/_manifests/{AT_NOON}.json"
READERS = [read_products, read_history]


@pytest.fixture
def put(lake):
    """Put bytes in the place of a file."""

    def write(file, content):
        with lake.write(f"{lake.root}/{file}") as opened:
            opened.write(content)

    return write


@pytest.fixture
def remove(lake):
    return lambda file: lake.files.rm_file(f"{lake.root}/{file}")


@pytest.fixture
def hats(resources, content):
    """A capture of two products, with its manifest."""
    made = capture(NOON, [(None, json.dumps(hat)) for hat in HATS])
    materialize([products_of(made)], resources)
    assert content(PRODUCTS) == TEXT


@on_both
def test_a_manifest_has_counts_sizes_and_hashes_of_a_captures_files(resources, listing, content):
    made = capture(
        NOON, [(DAY_1, '{"id": 1}'), (DAY_1, '{"id": 2}')], [(DAY_2, '{"id": "secret"}', "id")]
    )
    materialize([carts_of(made)], resources, DAY_1, DAY_2)

    (manifest,) = [file for file in listing() if "/_manifests/" in file]
    assert manifest == f"raw/carts/_manifests/{AT_NOON}.json"
    two, none = b'[\n{"id": 1},\n{"id": 2}\n]\n', b"[]\n"
    assert json.loads(content(manifest)) == {
        "captured_at": "2024-01-10T12:00:00.000005Z",
        "files": {
            f"cart_date={DAY_1}/{AT_NOON}.json": {
                "records": 2,
                "rejected": 0,
                "bytes": len(two),
                "sha256": hashlib.sha256(two).hexdigest(),
            },
            f"cart_date={DAY_2}/{AT_NOON}.json": {
                "records": 0,
                "rejected": 1,
                "bytes": len(none),
                "sha256": hashlib.sha256(none).hexdigest(),
            },
        },
    }


def test_only_the_manifests_that_the_files_name_are_read(resources, lake, put):
    for at, day in ((NOON, DAY_1), (LATER, DAY_2)):
        materialize([carts_of(capture(at, [(day, "{}")]))], resources, day)
    put(f"raw/carts/_manifests/{AT_LATER}.json", b"broken")
    file = f"{lake.root}/raw/carts/cart_date={DAY_1}/{AT_NOON}.json"

    facts = read_facts(lake, dg.AssetKey(["raw", "carts"]), [file])

    assert {path: known.records for path, known in facts.items()} == {file: 1}


def test_captures_of_other_days_at_the_same_moment_have_manifests_of_their_own(resources, captures):
    for day in (DAY_1, DAY_2):
        materialize([carts_of(capture(NOON, [(day, "{}")]))], resources, day)

    assert captures() == [
        f"raw/carts/cart_date={DAY_1}/{AT_NOON}.json",
        f"raw/carts/cart_date={DAY_2}/{AT_LATER}.json",
    ]
    assert read_carts(resources, DAY_1, DAY_2) == [(DAY_1, [{}]), (DAY_2, [{}])]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        (b"", f"it is empty where {len(TEXT)} bytes were written"),
        (TEXT[:30], f"it has 30 bytes where {len(TEXT)} bytes were written"),
        (TEXT.replace(b"Hat", b"Bat"), "its content is not what was written (SHA-256 differs)"),
    ],
    ids=["empty", "cut", "altered"],
)
def test_a_capture_that_is_not_as_written_is_an_error(hats, resources, put, read, damaged, problem):
    put(PRODUCTS, damaged)

    with pytest.raises(DamagedCaptureError) as raised:
        read(resources)

    assert problem in str(raised.value)
    assert re.search(
        r"^The capture \S+/raw/products/\S+Z\.json is damaged: .* Bring it back from a backup\. If "
        r"it is lost, remove it and capture again: storepipe run --from (\S+) --to \1 --select "
        r"'key:\"raw/products\"'\.",
        str(raised.value),
    )


@pytest.mark.parametrize("read", [read_all_products, read_history])
def test_an_older_capture_that_is_damaged_is_an_error_too(hats, resources, put, read):
    materialize([products_of(capture(LATER, [(None, '{"id": 3}')]))], resources)
    put(PRODUCTS, TEXT.replace(b"Hat", b"Bat"))

    with pytest.raises(DamagedCaptureError, match=rf"{PRODUCTS} is damaged: "):
        read(resources)

    assert read_products(resources) == [(None, [{"id": 3}])]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        (b"", "it is empty"),
        (TEXT[:30], "EOF while parsing"),
        (TEXT + b"[]", "trailing characters"),
        (b'{"error": "be right back"}', "Input should be a valid array"),
        (b"[[1]]", "0: Input should be"),
        (b"\xff\xfe", "Invalid JSON"),
    ],
)
def test_a_file_that_no_manifest_knows_must_be_one_array_of_objects(
    resources, put, read, damaged, problem
):
    put(PRODUCTS, damaged)

    with pytest.raises(DamagedCaptureError, match=rf"{PRODUCTS} is damaged: it is .*") as raised:
        read(resources)

    assert problem in str(raised.value)
    assert "be right back" not in str(raised.value)


@pytest.mark.parametrize(
    "whole", [json.dumps(HATS).encode(), TEXT.replace(b"\n", b"\r\n"), b" " + TEXT]
)
def test_a_file_that_no_manifest_knows_is_read_whatever_its_layout(resources, put, whole):
    put(PRODUCTS, whole)

    assert read_products(resources) == [(None, HATS)]
    assert read_all_products(resources) == [HATS]
    assert read_history(resources) == [("2024-01-10 12:00:00.000005", whole.decode())]


def test_the_error_of_a_day_names_the_day_to_capture_again(resources, put):
    both = capture(NOON, [(DAY_2, '{"id": 2}'), (DAY_3, '{"id": 3}')])
    materialize([carts_of(both)], resources, DAY_2, DAY_3)
    put(f"raw/carts/cart_date={DAY_3}/{AT_NOON}.json", b"")

    with pytest.raises(DamagedCaptureError) as raised:
        read_carts(resources, DAY_2, DAY_3)

    command = f"storepipe run --from {DAY_3} --to {DAY_3} --select 'key:\"raw/carts\"'"
    assert f"capture again: {command}." in str(raised.value)
    assert read_carts(resources, DAY_2) == [(DAY_2, [{"id": 2}])]


def test_a_damaged_capture_that_is_removed_leaves_the_one_before(hats, resources, remove, put):
    materialize([products_of(capture(LATER, []))], resources)
    put(f"raw/products/{AT_LATER}.json", b"")

    remove(f"raw/products/{AT_LATER}.json")

    assert read_products(resources) == [(None, HATS)]
    assert read_all_products(resources) == [HATS]


def test_a_capture_that_was_changed_on_purpose_counts_without_its_manifest(
    hats, resources, remove, put
):
    put(PRODUCTS, TEXT.replace(b"Hat", b"Bat"))
    with pytest.raises(
        DamagedCaptureError, match=rf"on purpose, remove its manifest \S+/{MANIFEST}\."
    ):
        read_products(resources)

    remove(MANIFEST)

    assert read_products(resources)[0][1][0] == {"id": 1, "title": "Bat"}


@pytest.mark.parametrize("damaged", [b"", b"{", b'{"files": {}}'])
def test_a_damaged_manifest_is_an_error_that_names_it(hats, resources, put, damaged):
    put(MANIFEST, damaged)

    with pytest.raises(DamagedCaptureError, match=rf"^The manifest \S+/{MANIFEST} is damaged: "):
        read_products(resources)
