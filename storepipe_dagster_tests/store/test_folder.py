"""A shop of JSON files: what it serves, and what it says when it cannot."""

import json
from datetime import date
from pathlib import Path

import pytest

from storepipe_dagster.store.folder import FolderShop, ShopFolderError

REAL_ANSWERS = Path(__file__).parents[3] / "shared/data/fakestore"

CARTS = [
    {"id": 3, "userId": 1, "date": "2020-01-03T00:00:00.000Z", "products": []},
    {"id": 1, "userId": 1, "date": "2020-01-01T23:59:59.999Z", "products": []},
    {"id": 2, "userId": 2, "date": "2020-01-02", "products": []},
    {"id": 2, "userId": 1, "date": "2020-01-02", "products": []},
    {"id": 4, "userId": 2, "products": []},
    {"id": 5, "userId": 2, "date": "some day", "products": []},
    {"id": "six", "userId": 2, "date": 20200101},
    None,
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "products.json").write_text('[{"id": 2}, {"id": 1}]')
    (tmp_path / "users.json").write_text('[{"id": 1}, {"id": 2}]')
    (tmp_path / "carts.json").write_text(json.dumps(CARTS))
    return tmp_path


def test_records_are_served_as_they_are_by_id(folder):
    shop = FolderShop(folder)
    assert shop.list_products() == [{"id": 1}, {"id": 2}]
    assert shop.list_users() == [{"id": 1}, {"id": 2}]
    assert list(shop.stream_carts()) == [CARTS[index] for index in (1, 2, 3, 0, 4, 5, 6, 7)]


def test_descending_is_the_reverse(folder):
    shop = FolderShop(folder)
    assert list(shop.stream_carts(descending=True)) == list(shop.stream_carts())[::-1]


@pytest.mark.parametrize(
    ("start", "end", "ids"),
    [
        (date(2020, 1, 1), None, [1, 2, 2, 3]),
        (date(2020, 1, 2), None, [2, 2, 3]),
        (None, date(2020, 1, 2), [1]),
        (date(2020, 1, 1), date(2020, 1, 3), [1, 2, 2]),
        (date(2020, 1, 4), None, []),
    ],
)
def test_a_date_filter_leaves_out_other_days_and_unreadable_dates(folder, start, end, ids):
    assert [cart["id"] for cart in FolderShop(folder).stream_carts(start, end)] == ids


def test_the_first_cart_of_an_id_is_found(folder):
    assert FolderShop(folder).find_cart(2) == CARTS[2]
    assert FolderShop(folder).find_cart(9) is None


def test_a_missing_folder_is_named_with_its_remedy(tmp_path):
    with pytest.raises(
        ShopFolderError, match=r"nowhere/products\.json cannot be read.*save the API"
    ):
        FolderShop(tmp_path / "nowhere")


def test_a_missing_file_is_named(folder):
    (folder / "users.json").unlink()
    with pytest.raises(ShopFolderError, match=r"users\.json cannot be read \(No such file"):
        FolderShop(folder)


@pytest.mark.parametrize("content", [b"[{", b"", b"\xff\xfe["])
def test_a_file_that_is_not_json_is_named(folder, content):
    (folder / "carts.json").write_bytes(content)
    with pytest.raises(ShopFolderError, match=r"carts\.json is not JSON"):
        FolderShop(folder)


def test_a_file_that_holds_no_array_is_named(folder):
    (folder / "products.json").write_text('{"status": "error"}')
    with pytest.raises(ShopFolderError, match=r"products\.json holds a JSON dict"):
        FolderShop(folder)


@pytest.mark.skipif(not REAL_ANSWERS.exists(), reason="needs the captured answers of the API")
def test_the_real_answers_are_a_shop():
    shop = FolderShop(REAL_ANSWERS)
    assert (len(shop.list_products()), len(shop.list_users())) == (20, 10)
    assert [cart["id"] for cart in shop.stream_carts()] == [1, 2, 3, 4, 5, 6, 7]
    march = shop.stream_carts(date(2020, 3, 1), date(2020, 3, 2))
    assert [cart["id"] for cart in march] == [3, 5, 6, 7]
