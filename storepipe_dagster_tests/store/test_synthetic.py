"""The synthetic shop: deterministic, exact in number, lifelike, and a little broken."""

import json
import re
import tracemalloc
from collections import Counter
from datetime import date, timedelta
from itertools import combinations, islice

import pytest

from storepipe_dagster.store.shop import StoreError
from storepipe_dagster.store.synthetic import SyntheticShop

SHOP = SyntheticShop(carts=4_000, days=120, seed=3)


@pytest.fixture(scope="module")
def carts():
    return list(SHOP.stream_carts())


@pytest.fixture(scope="module")
def products():
    return {product["id"]: product for product in SHOP.list_products()}


@pytest.fixture(scope="module")
def users():
    return {user["id"]: user for user in SHOP.list_users()}


def lines_of(carts):
    return [line for cart in carts for line in cart["products"]]


def encode(shop):
    return json.dumps([shop.list_products(), shop.list_users(), list(shop.stream_carts())])


def test_the_same_arguments_make_the_same_bytes():
    assert encode(SyntheticShop(500, 40, 9)) == encode(SyntheticShop(500, 40, 9))


def test_another_seed_makes_another_shop():
    assert encode(SyntheticShop(500, 40, 9)) != encode(SyntheticShop(500, 40, 10))


@pytest.mark.parametrize(
    ("carts", "days"), [(0, 3), (1, 1), (1, 30), (7, 30), (999, 45), (1_000, 1), (12_345, 400)]
)
def test_the_ids_of_the_carts_are_exactly_one_to_carts_in_order(carts, days):
    ids = [cart["id"] for cart in SyntheticShop(carts, days, 1).stream_carts()]
    assert list(dict.fromkeys(ids)) == list(range(1, carts + 1))
    assert ids == sorted(ids)


def test_the_carts_fall_in_time_order_on_the_days_of_the_shop():
    shop = SyntheticShop(2_000, 60, 1, first_day=date(2023, 12, 15))
    times = [cart["date"] for cart in shop.stream_carts()]
    assert times == sorted(times)
    assert {time[:10] for time in times} == {
        (date(2023, 12, 15) + timedelta(days=day)).isoformat() for day in range(60)
    }
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)


def test_start_is_inclusive_and_end_is_exclusive(carts):
    start, end = date(2020, 2, 3), date(2020, 2, 6)
    expected = [cart for cart in carts if "2020-02-03" <= cart["date"] < "2020-02-06"]
    assert expected
    assert list(SHOP.stream_carts(start, end)) == expected


def test_a_day_is_the_same_alone_and_among_all(carts):
    day = date(2020, 3, 17)
    alone = list(SyntheticShop(4_000, 120, 3).stream_carts(day, day + timedelta(days=1)))
    assert alone == [cart for cart in carts if cart["date"].startswith("2020-03-17")]


def test_a_day_is_made_without_the_days_before_it(monkeypatch):
    shop = SyntheticShop(4_000, 120, 3)
    made = []
    stream_day = SyntheticShop._stream_day
    monkeypatch.setattr(
        SyntheticShop, "_stream_day", lambda self, day: made.append(day) or stream_day(self, day)
    )
    list(shop.stream_carts(date(2020, 4, 1), date(2020, 4, 3)))
    shop.find_cart(4_000)
    assert made == [91, 92, 119]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2020, 4, 30), None),
        (None, date(2020, 1, 1)),
        (date(2020, 2, 1), date(2020, 2, 1)),
        (date(2020, 2, 2), date(2020, 2, 1)),
    ],
)
def test_a_range_outside_the_shop_or_upside_down_is_empty(start, end):
    assert list(SHOP.stream_carts(start, end)) == []


def test_bounds_beyond_the_shop_leave_nothing_out(carts):
    assert list(SHOP.stream_carts(date.min, date.max)) == carts


def test_descending_is_the_reverse(carts):
    assert list(SHOP.stream_carts(descending=True)) == carts[::-1]


def test_a_cart_is_found_by_its_id(carts):
    for cart_id in (1, 2_345, 4_000):
        assert SHOP.find_cart(cart_id) == next(cart for cart in carts if cart["id"] == cart_id)
    assert SHOP.find_cart(0) is None
    assert SHOP.find_cart(4_001) is None


def test_records_have_the_shape_of_the_public_api(carts, products, users):
    assert list(carts[0]) == ["id", "userId", "date", "products", "__v"]
    assert list(carts[0]["products"][0]) == ["productId", "quantity"]
    assert list(products[1]) == [
        *("id", "title", "price", "description", "category", "image", "rating"),
    ]
    assert list(products[1]["rating"]) == ["rate", "count"]
    assert list(users[1]) == [
        *("address", "id", "email", "username", "password", "name", "phone", "__v"),
    ]
    assert list(users[1]["address"]) == ["geolocation", "city", "street", "number", "zipcode"]
    assert list(users[1]["address"]["geolocation"]) == ["lat", "long"]
    assert list(users[1]["name"]) == ["firstname", "lastname"]


@pytest.mark.parametrize(
    ("carts", "products", "users"), [(10, 20, 10), (20_000, 80, 2_000), (2_000_000, 400, 100_000)]
)
def test_products_and_users_grow_with_the_carts(carts, products, users):
    shop = SyntheticShop(carts, 30, 1)
    assert [product["id"] for product in shop.list_products()] == list(range(1, products + 1))
    assert [user["id"] for user in shop.list_users()] == list(range(1, users + 1))


def test_there_are_four_categories_and_every_title_is_different(products):
    assert {product["category"] for product in products.values()} == {
        *("electronics", "jewelery", "men's clothing", "women's clothing"),
    }
    largest = SyntheticShop(100_000, 30, 1).list_products()
    assert len({product["title"].strip() for product in largest}) == 400


def test_the_oddities_of_the_public_api_are_there(products, users):
    titles = [product["title"] for product in products.values()]
    cities = [user["address"]["city"] for user in users.values()]
    assert any(title.endswith(" ") for title in titles)
    assert any(not title.isascii() for title in titles)
    assert {type(product["price"]) for product in products.values()} == {int, float}
    assert {"San Antonio", "san antonio", "san Antonio", "San Antonio "} <= set(cities)


def test_every_user_is_fictitious(users):
    assert all(user["email"].endswith("@example.com") for user in users.values())
    assert all("-555-01" in user["phone"] for user in users.values())


def test_carts_have_about_three_different_products(carts):
    assert 2.7 < len(lines_of(carts)) / len(carts) < 3.3
    assert all(
        len({line["productId"] for line in cart["products"]}) == len(cart["products"])
        for cart in carts
    )


def test_a_few_products_make_most_of_the_sales(carts):
    counts = [
        count for _, count in Counter(line["productId"] for line in lines_of(carts)).most_common()
    ]
    assert sum(counts[:4]) > 0.35 * sum(counts)


def test_planted_pairs_sell_together_more_than_chance(carts):
    companions = SHOP._demand.companions.tolist()
    planted = {(a + 1, b + 1) for a, b in enumerate(companions) if a < b}
    baskets = [sorted({line["productId"] for line in cart["products"]}) for cart in carts]
    sold = Counter(product for basket in baskets for product in basket)
    together = Counter(pair for basket in baskets for pair in combinations(basket, 2))
    lifts = {
        (a, b): count * len(baskets) / sold[a] / sold[b]
        for (a, b), count in together.items()
        if count >= 10
    }
    assert planted
    assert min(lifts[pair] for pair in planted) > 1.5 * sorted(lifts.values())[len(lifts) // 2]


def test_sales_follow_the_week_the_year_and_growth():
    shop = SyntheticShop(50_000, 731, 1)
    days = Counter(date.fromisoformat(cart["date"][:10]) for cart in shop.stream_carts())
    months = Counter()
    for day, count in days.items():
        months[day.year, day.month] += count
    assert sum(n for day, n in days.items() if day.weekday() == 5) > 1.3 * sum(
        n for day, n in days.items() if day.weekday() == 1
    )
    assert months[2020, 12] > 1.5 * months[2020, 6]
    assert sum(months[2021, month] for month in range(1, 13)) > 1.1 * sum(
        months[2020, month] for month in range(1, 13)
    )


def test_customers_join_stay_once_or_are_lost(carts):
    days_by_user = {}
    for cart in carts:
        days_by_user.setdefault(cart["userId"], []).append(date.fromisoformat(cart["date"][:10]))
    new = [days for days in days_by_user.values() if days[0] >= date(2020, 3, 1)]
    once = [days for days in days_by_user.values() if len(days) == 1]
    lost = [days for days in days_by_user.values() if len(days) > 3 and days[-1] < date(2020, 4, 1)]
    loyal = [days for days in days_by_user.values() if len(days) > 40]
    assert min(len(new), len(once), len(lost), len(loyal)) >= 10
    assert len(days_by_user) < SHOP.user_count  # some never buy


@pytest.mark.parametrize("carts", [1_000, 4_000, 30_000])
def test_every_kind_of_defect_is_there_and_rare(carts):
    shop = SyntheticShop(carts, 60, 5)
    records = list(shop.stream_carts())
    product_ids = {product["id"] for product in shop.list_products()}
    wrongly_priced = {product["id"] for product in shop.list_products() if product["price"] < 0}
    by_id = {}
    for record in records:
        by_id.setdefault(record["id"], []).append(record)
    repeated = [same_id for same_id in by_id.values() if len(same_id) > 1]
    lines = lines_of(records)
    found = {
        "unknown product": sum(line["productId"] not in product_ids for line in lines),
        "wrongly priced product": sum(line["productId"] in wrongly_priced for line in lines),
        "unknown user": sum(not 1 <= record["userId"] <= shop.user_count for record in records),
        "quantity zero": sum(line["quantity"] == 0 for line in lines),
        "quantity negative": sum(line["quantity"] == -1 for line in lines),
        "quantity no number": sum(line["quantity"] == "two" for line in lines),
        "answered twice": sum(first == second for first, second in repeated),
        "id used twice on a day": sum(
            first != second and first["date"] == second["date"] for first, second in repeated
        ),
    }
    assert set(found.values()) == {max(1, carts // 10_000)}
    assert len(wrongly_priced) == 1


def test_a_shop_of_fewer_carts_than_a_thousand_is_sound():
    shop = SyntheticShop(999, 60, 5)
    records = list(shop.stream_carts())
    assert len(records) == 999
    assert all(1 <= record["userId"] <= shop.user_count for record in records)
    assert all(line["quantity"] > 0 for line in lines_of(records))
    assert all(product["price"] > 0 for product in shop.list_products())


def test_streaming_many_days_needs_memory_for_a_day():
    shop = SyntheticShop(20_000, 73, 1)
    list(islice(shop.stream_carts(), 1))
    tracemalloc.start()
    try:
        assert sum(1 for _ in shop.stream_carts()) > 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("arguments", [{"carts": -1}, {"days": 0}, {"seed": -1}])
def test_a_shop_that_cannot_be_is_refused_by_name(arguments):
    (name,) = arguments
    with pytest.raises(StoreError, match=f"{name} is"):
        SyntheticShop(**arguments)
