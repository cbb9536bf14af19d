"""A synthetic shop: any number of carts over any number of days, made from a seed.

Every value follows from the constructor's arguments. Each day has a random generator of its own, so
that a range of days costs what its own days cost. Sales follow the week, the year and a mild
growth; products have Zipf-like popularity and some sell in pairs; customers join, are loyal, buy
once or are lost. A shop of 1,000 carts or more has a few defective records of every kind (see
`DEFECTS`).

The words live in `vocabulary`, HTTP in `server`. Nothing here reads a clock, a file or a network.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from storepipe_dagster.store import vocabulary
from storepipe_dagster.store.shop import Record, StoreError

CARTS_PER_USER = 10
CARTS_PER_DEFECT = 10_000
SMALLEST_DEFECTIVE_SHOP = 1_000

# The random streams of one seed; a day's stream has its number behind it.
_CALENDAR, _PRODUCTS, _SALES, _USERS, _LIFETIMES, _DEFECTS, _DAY = range(7)

_HOURS = np.arange(24)
_HOUR_WEIGHTS = (
    0.05 + np.exp(-(((_HOURS - 12) / 3) ** 2)) + 1.4 * np.exp(-(((_HOURS - 20) / 2.5) ** 2))
)
_HOUR_SHARES = _HOUR_WEIGHTS / _HOUR_WEIGHTS.sum()
_WEEKDAY_WEIGHTS = np.array([0.9, 0.85, 0.9, 0.95, 1.1, 1.3, 1.15])  # Monday first

TRAILING_SPACE_SHARE = 0.2  # of the products
ONE_TIME_SHARE = 0.3  # of the users
NEVER_SHARE = 0.05
FOUNDER_SHARE = 0.35  # of the returning customers
LOYAL_SHARE = 0.1
LOSS_SHARE = 0.6  # of those who are not loyal
COMPANION_SHARE = 0.4  # of the carts whose first product has a companion

_CITY_SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    lambda city: city[0].lower() + city[1:],
    lambda city: f"{city} ",
)
_CITY_SPELLING_SHARES = (0.8, 0.1, 0.06, 0.04)

# Drawn lines per cart; a product drawn twice is one line, which leaves about 3 lines per cart.
_LINE_SHARES = (0.19, 0.22, 0.2, 0.15, 0.11, 0.08, 0.05)
_QUANTITIES = np.array([1, 2, 3, 4, 5, 10])
_QUANTITY_SHARES = (0.66, 0.19, 0.08, 0.04, 0.02, 0.01)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SyntheticShop:
    """A shop whose `carts` carts, with the ids 1 to `carts`, fall on `days` days from `first_day`.

    The ids follow the time. Defects repeat a few ids, so there are a few more records than ids.
    """

    carts: int = 5_000
    days: int = 180
    seed: int = 1
    first_day: date = date(2020, 1, 1)

    def __post_init__(self) -> None:
        for name, least in (("carts", 0), ("days", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise StoreError(f"{name} is {value}; a synthetic shop needs {least} or more")

    @property
    def product_count(self) -> int:
        """20 to 400 products, by the number of carts."""
        return min(400, max(20, self.carts // 250))

    @property
    def user_count(self) -> int:
        """A tenth of the number of carts, from 10 to 100,000."""
        return min(100_000, max(10, self.carts // CARTS_PER_USER))

    def list_products(self) -> list[Record]:
        """List all products, by id."""
        random = self._random(_PRODUCTS)
        articles = [
            (category, f"{brand} {article}", base_price)
            for category, priced_articles in vocabulary.ARTICLES_BY_CATEGORY.items()
            for article, base_price in priced_articles
            for brand in vocabulary.BRANDS
        ]
        chosen = random.permutation(len(articles))[: self.product_count].tolist()
        products: list[Record] = []
        for product_id, index in enumerate(chosen, start=1):
            category, title, base_price = articles[index]
            cents = random.choice((0.99, 0.95, 0.5, 0), p=(0.5, 0.2, 0.1, 0.2))
            price = round(int(base_price * random.uniform(0.8, 1.25)) + float(cents), 2)
            trailing_space = " " * int(random.binomial(1, TRAILING_SPACE_SHARE))
            praises = random.choice(vocabulary.PRAISES, size=2, replace=False).tolist()
            products.append(
                {
                    "id": product_id,
                    "title": title + trailing_space,
                    "price": _shorten(price),
                    "description": f"{title}. {' '.join(praises)}",
                    "category": category,
                    "image": f"https://shop.example.com/img/{product_id}.png",
                    "rating": {
                        "rate": _shorten(round(float(random.uniform(1.8, 5.0)), 1)),
                        "count": int(random.integers(20, 700)),
                    },
                }
            )
        if self._defects:
            wrongly_priced = products[-1]
            wrongly_priced["price"] = -wrongly_priced["price"]
        return products

    def list_users(self) -> list[Record]:
        """List all users, by id; made up, each with an address at example.com."""
        random = self._random(_USERS)
        count = self.user_count
        city_shares = _to_shares(1 / np.arange(1, len(vocabulary.CITIES) + 1))
        columns = (
            random.choice(vocabulary.FIRST_NAMES, size=count),
            random.choice(vocabulary.LAST_NAMES, size=count),
            random.choice(len(vocabulary.CITIES), size=count, p=city_shares),
            random.choice(len(_CITY_SPELLINGS), size=count, p=_CITY_SPELLING_SHARES),
            random.choice(vocabulary.STREETS, size=count),
            random.integers(10_000, 100_000_000, size=count),
        )
        users: list[Record] = []
        for user_id, (first_name, last_name, city, spelling, street, number) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), start=1
        ):
            city_name, latitude, longitude = vocabulary.CITIES[city]
            users.append(
                {
                    "address": {
                        "geolocation": {"lat": f"{latitude:.4f}", "long": f"{longitude:.4f}"},
                        "city": _CITY_SPELLINGS[spelling](city_name),
                        "street": street,
                        "number": number % 9_973,
                        "zipcode": f"{number % 90_001 + 9_999:05}-{number % 8_999 + 1_000}",
                    },
                    "id": user_id,
                    "email": f"customer.{user_id}@example.com",
                    "username": f"customer_{user_id}",
                    "password": f"secret-{number}",
                    "name": {"firstname": first_name, "lastname": last_name},
                    "phone": f"1-{number % 800 + 200}-555-01{number % 100:02}",
                    "__v": 0,
                }
            )
        return users

    def stream_carts(
        self, start: date | None = None, end: date | None = None, *, descending: bool = False
    ) -> Iterator[Record]:
        """Stream carts by id, from the UTC day `start` to the day before `end`.

        One day is in memory at a time, as arrays; `descending` holds its carts too.
        """
        first = 0 if start is None else max(0, (start - self.first_day).days)
        past = self.days if end is None else min(self.days, (end - self.first_day).days)
        for day in reversed(range(first, past)) if descending else range(first, past):
            carts = self._stream_day(day)
            yield from reversed(list(carts)) if descending else carts

    def find_cart(self, cart_id: int) -> Record | None:
        """Return the first cart with this id; it costs the making of its day."""
        if not 1 <= cart_id <= self.carts:
            return None
        day = int(np.searchsorted(self._first_carts, cart_id - 1, side="right")) - 1
        return next(cart for cart in self._stream_day(day) if cart["id"] == cart_id)

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *stream))

    @cached_property
    def _first_carts(self) -> Integers:
        """How many carts come before each day, and in all; the total is exact."""
        days = np.arange(self.days)
        weekdays = (days + self.first_day.weekday()) % 7
        day_of_year = (days + self.first_day.timetuple().tm_yday) % 365.25
        summer_dip = 1 + 0.15 * np.cos(2 * np.pi * day_of_year / 365.25)
        december_peak = 1 + 0.6 * np.exp(-(((day_of_year - 345) / 14) ** 2))
        growth = 1.25 ** (days / 365)
        noise = self._random(_CALENDAR).lognormal(0, 0.08, self.days)
        weights = _WEEKDAY_WEIGHTS[weekdays] * summer_dip * december_peak * growth * noise
        share_until = np.concatenate(([0.0], np.cumsum(weights)))
        first_carts: Integers = np.rint(self.carts * (share_until / share_until[-1])).astype(int)
        return first_carts

    @cached_property
    def _demand(self) -> "_Demand":
        return _Demand.draw(self._random(_SALES), self.product_count)

    @cached_property
    def _customers(self) -> "_Customers":
        return _Customers.draw(self._random(_LIFETIMES), self.user_count, self.carts, self.days)

    @cached_property
    def _defects(self) -> dict[int, "Defect"]:
        """The defect of each defective cart."""
        if self.carts < SMALLEST_DEFECTIVE_SHOP:
            return {}
        defects = DEFECTS * max(1, self.carts // CARTS_PER_DEFECT)
        indexes = self._random(_DEFECTS).choice(self.carts, size=len(defects), replace=False)
        return {index + 1: defect for index, defect in zip(indexes.tolist(), defects, strict=True)}

    def _stream_day(self, day: int) -> Iterator[Record]:
        first, past = self._first_carts[day : day + 2].tolist()
        random = self._random(_DAY, day)
        users = self._customers.draw_users(random, day, first, past)
        products = self._demand.draw_products(random, past - first)
        quantities = random.choice(_QUANTITIES, size=products.shape, p=_QUANTITY_SHARES)
        lines = 1 + random.choice(len(_LINE_SHARES), size=past - first, p=_LINE_SHARES)
        times = self._draw_times(random, day, past - first)
        for cart_id, user_id, time, line_count, product_ids, line_quantities in zip(
            range(first + 1, past + 1),
            users.tolist(),
            times,
            lines.tolist(),
            products.tolist(),
            quantities.tolist(),
            strict=True,
        ):
            # As keys, a product that was drawn twice is one line.
            sold = dict(zip(product_ids[:line_count], line_quantities, strict=False))
            cart = {
                "id": cart_id,
                "userId": user_id,
                "date": time,
                "products": [{"productId": id_, "quantity": sold[id_]} for id_ in sold],
                "__v": 0,
            }
            if cart_id in self._defects:
                yield from self._defects[cart_id](self, cart)
            else:
                yield cart

    def _draw_times(self, random: np.random.Generator, day: int, count: int) -> list[str]:
        """Ascending timestamps of one day, most around noon and in the evening."""
        seconds = 3600 * random.choice(24, size=count, p=_HOUR_SHARES)
        milliseconds = 1000 * seconds + random.integers(3_600_000, size=count)
        midnight = np.datetime64(self.first_day + timedelta(days=day), "ms")
        instants = midnight + np.sort(milliseconds).astype("timedelta64[ms]")
        texts: list[str] = np.datetime_as_string(instants, unit="ms", timezone="UTC").tolist()
        return texts


@dataclass(frozen=True)
class _Demand:
    """What sells how often, and with what."""

    shares: Floats
    companions: Integers  # per product its companion's index, or its own

    @classmethod
    def draw(cls, random: np.random.Generator, count: int) -> "_Demand":
        """Demand for all products but the last, which only a defect sells."""
        ranks = random.permutation(count - 1) + 1
        popularity = np.append(1 / (ranks + 2.0) ** 0.9, 0)
        companions = np.arange(count)
        pairs = random.permutation(count - 1)[: 2 * (count // 8)].reshape(-1, 2)
        companions[pairs[:, 0]] = pairs[:, 1]
        companions[pairs[:, 1]] = pairs[:, 0]
        return cls(_to_shares(popularity), companions)

    def draw_products(self, random: np.random.Generator, carts: int) -> Integers:
        """Product ids, one row per cart; the second often goes with the first."""
        drawn = random.choice(len(self.shares), size=(carts, len(_LINE_SHARES)), p=self.shares)
        companions = self.companions[drawn[:, 0]]
        goes_with_first = (companions != drawn[:, 0]) & (random.random(carts) < COMPANION_SHARE)
        drawn[:, 1] = np.where(goes_with_first, companions, drawn[:, 1])
        return drawn + 1


@dataclass(frozen=True)
class _Customers:
    """Who may buy on which day."""

    returning: Integers  # user ids
    joined: Integers  # the day number of each returning customer's first visit
    left: Integers  # the day number from which each returning customer is lost
    weights: Floats  # how often each returning customer buys
    one_time: Integers  # user ids
    one_time_carts: Integers  # the one cart of each, counted from 0, ascending

    @classmethod
    def draw(cls, random: np.random.Generator, users: int, carts: int, days: int) -> "_Customers":
        """Draw customers by their shares; the first founder stays, so every day has a buyer."""
        ids = random.permutation(users) + 1
        one_time_count = min(int(ONE_TIME_SHARE * users), carts // 4)
        never_count = int(NEVER_SHARE * users)
        returning = np.sort(ids[one_time_count + never_count :])
        count = len(returning)
        is_founder = random.random(count) < FOUNDER_SHARE
        joined = np.sort(np.where(is_founder, 0, random.integers(days, size=count)))
        joined[0] = 0
        is_loyal = random.random(count) < LOYAL_SHARE
        is_lost = ~is_loyal & (random.random(count) < LOSS_SHARE)
        is_lost[0] = False
        lifetime = 1 + random.exponential(0.3 * days, size=count).astype(np.int64)
        return cls(
            returning=returning,
            joined=joined,
            left=np.where(is_lost, joined + lifetime, days),
            weights=random.lognormal(0, 0.5, size=count) * np.where(is_loyal, 4, 1),
            one_time=np.sort(ids[:one_time_count]),
            one_time_carts=np.sort(random.choice(carts, size=one_time_count, replace=False)),
        )

    def draw_users(self, random: np.random.Generator, day: int, first: int, past: int) -> Integers:
        """Draw the user id of each cart of a day: the carts `first` to `past` - 1, from 0."""
        is_customer = (self.joined <= day) & (day < self.left)
        shares = _to_shares(np.where(is_customer, self.weights, 0))
        users = random.choice(self.returning, size=past - first, p=shares)
        low, high = np.searchsorted(self.one_time_carts, (first, past))
        users[self.one_time_carts[low:high] - first] = self.one_time[low:high]
        return users


def _to_shares(weights: Floats) -> Floats:
    shares: Floats = weights / weights.sum()
    return shares


def _shorten(number: float) -> float:
    """Write a whole number as the API does: 695, not 695.0."""
    return int(number) if number == int(number) else number


Defect: TypeAlias = Callable[[SyntheticShop, Record], list[Record]]
"""Takes a sound cart and answers the records that stand in its place."""


def _sell_unknown_product(shop: SyntheticShop, cart: Record) -> list[Record]:
    cart["products"][0]["productId"] = shop.product_count + 1
    return [cart]


def _sell_wrongly_priced_product(shop: SyntheticShop, cart: Record) -> list[Record]:
    cart["products"][0]["productId"] = shop.product_count
    return [cart]


def _sell_to_unknown_user(shop: SyntheticShop, cart: Record) -> list[Record]:
    return [{**cart, "userId": shop.user_count + 1}]


def _sell_nothing(_: SyntheticShop, cart: Record) -> list[Record]:
    cart["products"][0]["quantity"] = 0
    return [cart]


def _sell_less_than_nothing(_: SyntheticShop, cart: Record) -> list[Record]:
    cart["products"][0]["quantity"] = -1
    return [cart]


def _reuse_id(shop: SyntheticShop, cart: Record) -> list[Record]:
    other_user = cart["userId"] % shop.user_count + 1
    return [cart, {**cart, "userId": other_user}]


def _answer_twice(_: SyntheticShop, cart: Record) -> list[Record]:
    return [cart, cart]


def _break_record_contract(_: SyntheticShop, cart: Record) -> list[Record]:
    cart["products"][0]["quantity"] = "two"
    return [cart]


DEFECTS: tuple[Defect, ...] = (
    _sell_unknown_product,
    _sell_wrongly_priced_product,
    _sell_to_unknown_user,
    _sell_nothing,
    _sell_less_than_nothing,
    _reuse_id,
    _answer_twice,
    _break_record_contract,
)
"""The kinds of defect: one of each per 10,000 carts, and at least one from 1,000 carts on."""
