"""The sections on what is sold and where: categories, products, pairs, cities."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from storepipe_dagster.layers.refined.report import words
from storepipe_dagster.layers.refined.report.tables import Row, Section

TOP_CATEGORIES = 12
TOP_CITIES = 12
TOP_PRODUCTS = 20
TOP_PAIRS = 15
CURVE_POINTS = 120


def categories(table: pa.Table) -> Section:
    """List the categories by revenue."""
    every = table.sort_by([("revenue", "descending"), ("category", "ascending")])
    rows = every.slice(0, TOP_CATEGORIES).to_pylist()
    texts = [
        [
            row["category"] or "(no category)",
            words.money(row["revenue"]),
            words.percent(row["revenue_share"]),
            f"{row['units']:,}",
            f"{row['carts']:,}",
        ]
        for row in rows
    ]
    head = ["Category", "Revenue", "Share", "Units", "Carts"]
    return Section(
        name="categories",
        topic="Categories",
        title=f"{words.heading(texts[0][0])} brings {texts[0][2]} of the revenue"
        if rows
        else "No categories yet",
        subtitle="Revenue per category and its share of the whole"
        f"{words.of_all(len(rows), every.num_rows, 'categories')}.",
        kind="bar_list" if rows else None,
        rows=_bars(rows, head, texts),
        head=head,
        body=texts,
    )


def top_products(table: pa.Table) -> Section:
    """List the best products by revenue, each with its ABC class."""
    rows = table.sort_by("revenue_rank").slice(0, TOP_PRODUCTS).to_pylist()
    head = ["Product", "Revenue", "Share", "Class", "Units", "Carts", "Category"]
    texts = [
        [
            words.title_of(row),
            words.money(row["revenue"]),
            words.percent(row["revenue_share"]),
            row["abc_class"],
            f"{row['units']:,}",
            f"{row['carts']:,}",
            row["category"] or "(no category)",
        ]
        for row in rows
    ]
    bars = _bars(rows, head, texts)
    for bar, row in zip(bars, rows, strict=True):
        bar["abc_class"] = row["abc_class"]
    return Section(
        name="top_products",
        topic="Top products",
        title=f"{words.heading(texts[0][0])} is the best seller, with {texts[0][2]} of the revenue"
        if rows
        else "No products yet",
        subtitle="Revenue per product, its share of the whole and its class"
        f"{words.of_all(len(rows), table.num_rows, 'products')}.",
        kind="bar_list" if rows else None,
        rows=bars,
        head=head,
        body=texts,
    )


def concentration(table: pa.Table) -> Section:
    """ABC classes: how few products bring how much."""
    count = table.num_rows
    ranked = table.select(
        ["revenue_rank", "revenue_share", "cumulative_revenue_share", "abc_class"]
    )
    ranked = ranked.sort_by("revenue_rank")
    classes = ranked["abc_class"].to_pylist()
    shares = [words.known(share) for share in ranked["cumulative_revenue_share"].to_pylist()]
    body = []
    reached = 0.0
    for name in ("A", "B", "C"):
        places = [n for n, abc_class in enumerate(classes) if abc_class == name]
        if places:
            until = shares[places[-1]]
            body.append(
                [name, f"{len(places):,}", words.percent(until - reached), words.percent(until)]
            )
            reached = until
    drawable = count > 2 and bool(shares[-1])  # noqa: PLR2004 - two points are no curve
    title = "Too few products for a curve yet"
    if drawable:
        verb = "brings" if body[0][1] == "1" else "bring"
        title = (
            f"{body[0][1]} of {words.count(count, 'product')} {verb} {body[0][3]} of the revenue"
        )
    return Section(
        name="revenue_concentration",
        topic="Where the revenue comes from",
        title=title,
        subtitle="Products from best to least sold, and the share of revenue they bring together. "
        "Class A brings the first 80% and should never run out, B the next 15%, C the rest.",
        kind="revenue_concentration" if drawable else None,
        rows=_curve(shares, classes) if drawable else (),
        head=["Class", "Products", "Share of revenue", "Cumulative share"],
        body=body,
    )


def _curve(shares: Sequence[float], classes: Sequence[str]) -> list[Row]:
    """Choose some hundred points: evenly spread ones, and those where the class changes."""
    count = len(shares)
    steps = min(count, CURVE_POINTS)
    chosen = {round(step * (count - 1) / (steps - 1)) for step in range(steps)}
    chosen |= {n - 1 for n in range(1, count) if classes[n] != classes[n - 1]}
    points = [_curve_point(0, count, 0.0, classes[0])]
    for n in sorted(chosen):
        if classes[n] != points[-1]["abc_class"]:  # the classes' areas touch
            points.append({**points[-1], "abc_class": classes[n]})
        points.append(_curve_point(n + 1, count, shares[n], classes[n]))
    return points


def _curve_point(products: int, count: int, share: float, abc_class: str) -> Row:
    return {
        "label": f"{products:,} of {count:,}",
        "product_share": round(products / count, 5),
        "revenue_share": round(share, 5),
        "abc_class": abc_class,
    }


def pairs(affinity: pa.Table, products: pa.Table) -> Section:
    """Show the pairs with the most carts beyond chance.

    Lift alone would put pairs first that met twice by accident, carts alone the best sellers. Carts
    with both divided by the lift are the carts that chance would give: the rest is the pair's own.
    """
    together = affinity.filter(pc.greater(affinity["lift"], 1.0))
    by_chance = pc.divide(pc.cast(together["carts_together"], pa.float64()), together["lift"])
    beyond_chance = pc.subtract(together["carts_together"], by_chance)
    together = together.append_column("beyond_chance", pc.round(beyond_chance, 6))
    order = [("beyond_chance", "descending")]
    order += [("product_id", "ascending"), ("other_product_id", "ascending")]
    rows = together.sort_by(order).slice(0, TOP_PAIRS).to_pylist()
    ids = {row[key] for row in rows for key in ("product_id", "other_product_id")}
    known = products.filter(pc.is_in(products["product_id"], pa.array(sorted(ids), pa.int64())))
    titles = {row["product_id"]: words.title_of(row) for row in known.to_pylist()}
    highest = max((row["lift"] for row in rows), default=1.0)
    blocks = [
        {
            "first": titles.get(row["product_id"], f"Product {row['product_id']}"),
            "second": titles.get(row["other_product_id"], f"Product {row['other_product_id']}"),
            "carts": f"{row['carts_together']:,}",
            "support": words.percent(row["support"]),
            "confidence": words.percent(row["confidence"]),
            "lift": f"{row['lift']:,.1f}",
            "bar": round(100 * row["lift"] / highest, 1),
        }
        for row in rows
    ]
    topic = "Bought together"
    if not blocks:
        return Section(
            name="pairs",
            topic=topic,
            title="No two products stand out together yet",
            subtitle="Pairs show here once the same two products are in several carts, "
            "more often than by chance.",
        )
    top = blocks[0]
    return Section(
        name="pairs",
        topic=topic,
        title=f"{words.heading(top['first'])} and {words.shorten(top['second'])} stand out: "
        f"together in {words.count(rows[0]['carts_together'], 'cart')}",
        subtitle="Pairs ranked by how many more carts hold both than chance would explain"
        f"{words.of_all(len(rows), together.num_rows, 'pairs')}. Offer one to buyers of the other.",
        blocks=blocks,
    )


def cities(table: pa.Table) -> Section:
    """List the cities by revenue."""
    every = table.sort_by([("revenue", "descending"), ("city", "ascending")])
    rows = every.slice(0, TOP_CITIES).to_pylist()
    revenue = words.total(table, "revenue")
    texts = [
        [
            row["city"] or "(no city)",
            words.money(row["revenue"]),
            words.percent(words.ratio(row["revenue"], revenue)),
            f"{row['customers']:,}",
            f"{row['carts']:,}",
        ]
        for row in rows
    ]
    head = ["City", "Revenue", "Share", "Customers", "Carts"]
    return Section(
        name="cities",
        topic="Cities",
        title=f"{words.heading(texts[0][0])} brings {texts[0][2]} of the revenue"
        if rows
        else "No cities yet",
        subtitle="Revenue per city of the customers and its share of the whole"
        f"{words.of_all(len(rows), every.num_rows, 'cities')}.",
        kind="bar_list" if rows else None,
        rows=_bars(rows, head, texts),
        head=head,
        body=texts,
    )


def _bars(rows: Sequence[Row], head: Sequence[str], texts: Sequence[Sequence[str]]) -> list[Row]:
    """Rows of a bar list; the texts are its tooltip, their first three the label on the bar."""
    return [
        {
            "position": position,
            "name": text[0],
            "amount": f"{text[1]} · {text[2]}",
            "revenue": float(row["revenue"]),
            "tooltip": dict(zip(head, text, strict=True)),
        }
        for position, (row, text) in enumerate(zip(rows, texts, strict=True))
    ]
