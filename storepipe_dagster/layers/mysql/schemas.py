"""The database tables: the only place where their columns stand.

Money is DECIMAL; SQLite has none, so there it is text, exact to the cent. Times are UTC.
A column's ``info`` names what it is made of, and marks personal data.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from storepipe_dagster.resources import loads
from storepipe_dagster.resources.loads import OPTIONS, UTC_TIME

METADATA = sa.MetaData()
MONEY = sa.String(16).with_variant(sa.DECIMAL(12, 2), "mysql")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")


def _from(*origin: str) -> dict[str, Any]:
    return {"from": origin}


def _personal(*origin: str) -> dict[str, Any]:
    return {"from": origin, "personal_data": True}


PRODUCTS = sa.Table(
    "products",
    METADATA,
    sa.Column(
        "product_id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Id",
        info=_from("raw/products:id"),
    ),
    sa.Column(
        "product_title",
        TEXT,
        nullable=False,
        comment="Title, trimmed",
        info=_from("raw/products:title"),
    ),
    sa.Column(
        "category",
        TEXT,
        nullable=False,
        comment="Category, trimmed",
        info=_from("raw/products:category"),
    ),
    sa.Column(
        "unit_price",
        MONEY,
        comment="Price as last captured; null if it had none",
        info=_from("raw/products:price"),
    ),
    sa.Column("description", TEXT, comment="Description", info=_from("raw/products:description")),
    sa.Column(
        "image_url", TEXT, comment="Address of the picture", info=_from("raw/products:image")
    ),
    sa.Column(
        "rating",
        sa.Double,
        comment="Mean of the buyers' ratings",
        info=_from("raw/products:rating"),
    ),
    sa.Column(
        "rating_count",
        sa.BigInteger,
        comment="Number of ratings",
        info=_from("raw/products:rating"),
    ),
    comment="Every product ever captured, as last captured",
    **OPTIONS,
)

USERS = sa.Table(
    "users",
    METADATA,
    sa.Column(
        "user_id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Id",
        info=_from("raw/users:id"),
    ),
    sa.Column("username", TEXT, info=_personal("raw/users:username"), comment="Login name"),
    sa.Column("first_name", TEXT, info=_personal("raw/users:name"), comment="First name"),
    sa.Column("last_name", TEXT, info=_personal("raw/users:name"), comment="Last name"),
    sa.Column("email", TEXT, info=_personal("raw/users:email"), comment="E-mail address"),
    sa.Column("phone", TEXT, info=_personal("raw/users:phone"), comment="Telephone number"),
    sa.Column("street", TEXT, info=_personal("raw/users:address"), comment="Street"),
    sa.Column(
        "street_number", TEXT, info=_personal("raw/users:address"), comment="Number in the street"
    ),
    sa.Column("zipcode", TEXT, info=_personal("raw/users:address"), comment="Postal code"),
    sa.Column(
        "latitude",
        TEXT,
        info=_personal("raw/users:address"),
        comment="Latitude, as the API writes it",
    ),
    sa.Column(
        "longitude",
        TEXT,
        info=_personal("raw/users:address"),
        comment="Longitude, as the API writes it",
    ),
    sa.Column(
        "city", TEXT, comment="City, trimmed and title-cased", info=_from("raw/users:address")
    ),
    comment="Every user ever captured, as last captured; never a password",
    **OPTIONS,
)

CARTS = sa.Table(
    "carts",
    METADATA,
    sa.Column(
        "cart_date",
        sa.Date,
        primary_key=True,
        comment="UTC date of the cart",
        info=_from("raw/carts:date"),
    ),
    sa.Column(
        "cart_id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Id",
        info=_from("raw/carts:id"),
    ),
    sa.Column(
        "occurrence",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        comment="1, or which further cart with the same id and day",
        info=_from("raw/carts:date", "raw/carts:id"),
    ),
    sa.Column(
        "sold_at",
        UTC_TIME,
        nullable=False,
        comment="UTC time of the cart",
        info=_from("raw/carts:date"),
    ),
    sa.Column("user_id", sa.BigInteger, comment="The buyer", info=_from("raw/carts:userId")),
    comment="The carts of each day, as last captured",
    **OPTIONS,
)

CART_ITEMS = sa.Table(
    "cart_items",
    METADATA,
    sa.Column(
        "cart_date",
        sa.Date,
        primary_key=True,
        comment="UTC date of the cart",
        info=_from("raw/carts:date"),
    ),
    sa.Column(
        "cart_id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="The cart",
        info=_from("raw/carts:id"),
    ),
    sa.Column(
        "occurrence",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        comment="Which cart of that id and day",
        info=_from("raw/carts:date", "raw/carts:id"),
    ),
    sa.Column(
        "line_number",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        comment="Order in the cart, from 1",
        info=_from("raw/carts:products"),
    ),
    sa.Column("product_id", sa.BigInteger, comment="The product", info=_from("raw/carts:products")),
    sa.Column(
        "quantity",
        sa.Integer,
        comment="Units, as the API gave them",
        info=_from("raw/carts:products"),
    ),
    comment="The lines of the carts of each day, as last captured",
    **OPTIONS,
)

LOADS = loads.LOADS.to_metadata(METADATA)
