"""The page of `refined/store_report`: one HTML file that a shop owner reads, offline.

Here: the headline figures, the order of the sections and the rendering of `page.html`. How a chart
looks is in `charts.py`. Equal tables give equal bytes; nothing is read but the packaged template,
and the script of ``runtime.py``. Jinja and Vega take their time to import: who does not render a
page leaves this module alone.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib import resources

import jinja2
import pyarrow.compute as pc
from markupsafe import Markup

from storepipe_dagster.layers.refined.report import charts as drawing
from storepipe_dagster.layers.refined.report import customers, goods, over_time, words
from storepipe_dagster.layers.refined.report.charts import Spec
from storepipe_dagster.layers.refined.report.runtime import runtime
from storepipe_dagster.layers.refined.report.tables import RefinedTables, Row, Section


def store_report(tables: RefinedTables, drawn: Mapping[str, Spec] | None = None) -> str:
    """Render the page as HTML; without sales, a page that says so and how to get them.

    ``drawn`` are the ``charts`` of the same tables, from who has them already.
    """
    sections = _sections(tables)
    drawn = _charts_of(sections) if drawn is None else drawn
    specs = {name: drawing.page_spec(chart) for name, chart in drawn.items()}
    themes = {"light": drawing.theme(drawing.LIGHT), "dark": drawing.theme(drawing.DARK)}
    return _template().render(
        light=drawing.LIGHT,
        dark=drawing.DARK,
        period=words.period(tables.sales_by_day),
        figures=_figures(tables) if sections else (),
        sections=sections,
        specs={"charts": specs, "themes": themes} if specs else None,
        max_widths={name: spec.get("usermeta", {}).get("maxWidth") for name, spec in specs.items()},
        runtime=_inline_script() if specs else "",
    )


def charts(tables: RefinedTables) -> dict[str, Spec]:
    """Draw the charts of the page, by section name; none where there is nothing to draw."""
    return _charts_of(_sections(tables))


def chart_svg(chart: Spec) -> str:
    """Draw one of `charts` as a still SVG picture, light on white, for Dagster's metadata."""
    return drawing.chart_svg(chart)


def _charts_of(sections: Iterable[Section]) -> dict[str, Spec]:
    return {
        section.name: drawing.KINDS[section.kind](section.rows, section.title, section.subtitle)
        for section in sections
        if section.kind
    }


def _sections(tables: RefinedTables) -> list[Section]:
    if tables.sales_by_day.num_rows == 0:
        return []
    return [
        over_time.revenue_over_time(tables.sales_by_day),
        goods.categories(tables.sales_by_category),
        goods.top_products(tables.sales_by_product),
        goods.concentration(tables.sales_by_product),
        customers.segments(tables.customer_segments),
        customers.cohorts(tables.customer_cohorts),
        goods.pairs(tables.product_affinity, tables.sales_by_product),
        goods.cities(tables.sales_by_city),
    ]


def _figures(tables: RefinedTables) -> list[Row]:
    days, segments = tables.sales_by_day, tables.customer_segments
    revenue, carts, units = (words.total(days, name) for name in ("revenue", "carts", "units"))
    best = days.sort_by([("revenue", "descending"), ("sale_date", "ascending")]).slice(0, 1)
    best_day = best.to_pylist()[0]
    buyers = segments.num_rows
    again = segments.filter(pc.greater(segments["frequency"], 1)).num_rows
    products = tables.sales_by_product.num_rows
    categories = tables.sales_by_category.num_rows
    return [
        {
            "label": "Revenue",
            "value": words.money(revenue),
            "note": (
                f"from {words.count(products, 'product')} in {words.count(categories, 'category')}"
            ),
        },
        {
            "label": "Carts",
            "value": f"{carts:,}",
            "note": f"on {words.count(days.num_rows, 'day')} with sales",
        },
        {
            "label": "Customers",
            "value": f"{buyers:,}",
            "note": f"{words.percent(words.ratio(again, buyers))} bought more than once",
        },
        {
            "label": "Units sold",
            "value": f"{units:,}",
            "note": f"{words.ratio(units, carts):,.1f} per cart",
        },
        {
            "label": "Average cart value",
            "value": words.money(Decimal(revenue) / carts) if carts else words.money(0),
            "note": f"{words.money(Decimal(revenue) / buyers)} per customer" if buyers else "",
        },
        {
            "label": "Best day",
            "value": words.day(best_day["sale_date"]),
            "note": f"brought {words.money(best_day['revenue'])}",
        },
    ]


def _inline_script() -> Markup:
    # The one text that is not escaped: no data. No "</script" stands in it today.
    return Markup(runtime().replace("</script", "<\\/script"))  # noqa: S704


def _template() -> jinja2.Template:
    source = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, lstrip_blocks=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source)
