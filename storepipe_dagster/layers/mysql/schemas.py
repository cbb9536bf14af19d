"""The database tables: the only place where their columns stand.

Money is DECIMAL; SQLite has none, so there it is text, exact to the cent. Times are UTC.
Personal data is marked in a column's ``info``.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

METADATA = sa.MetaData()
PERSONAL = {"personal_data": True}

MONEY = sa.String(16).with_variant(sa.DECIMAL(12, 2), "mysql")
UTC_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
OPTIONS: dict[str, Any] = {
    "sqlite_with_rowid": False,
    "mysql_charset": "utf8mb4",
    "mysql_engine": "InnoDB",
}

PRODUCTS = sa.Table(
    "products",
    METADATA,
    sa.Column("product_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="Id"),
    sa.Column("product_title", TEXT, nullable=False, comment="Title, trimmed"),
    sa.Column("category", TEXT, nullable=False, comment="Category, trimmed"),
    sa.Column("unit_price", MONEY, comment="Price as last captured; null if it had none"),
    sa.Column("description", TEXT, comment="Description"),
    sa.Column("image_url", TEXT, comment="Address of the picture"),
    sa.Column("rating", sa.Double, comment="Mean of the buyers' ratings"),
    sa.Column("rating_count", sa.BigInteger, comment="Number of ratings"),
    comment="Every product ever captured, as last captured",
    **OPTIONS,
)

USERS = sa.Table(
    "users",
    METADATA,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="Id"),
    sa.Column("username", TEXT, info=PERSONAL, comment="Login name"),
    sa.Column("first_name", TEXT, info=PERSONAL, comment="First name"),
    sa.Column("last_name", TEXT, info=PERSONAL, comment="Last name"),
    sa.Column("email", TEXT, info=PERSONAL, comment="E-mail address"),
    sa.Column("phone", TEXT, info=PERSONAL, comment="Telephone number"),
    sa.Column("street", TEXT, info=PERSONAL, comment="Street"),
    sa.Column("street_number", TEXT, info=PERSONAL, comment="Number in the street"),
    sa.Column("zipcode", TEXT, info=PERSONAL, comment="Postal code"),
    sa.Column("latitude", TEXT, info=PERSONAL, comment="Latitude, as the API writes it"),
    sa.Column("longitude", TEXT, info=PERSONAL, comment="Longitude, as the API writes it"),
    sa.Column("city", TEXT, comment="City, trimmed and title-cased"),
    comment="Every user ever captured, as last captured; never a password",
    **OPTIONS,
)

CARTS = sa.Table(
    "carts",
    METADATA,
    sa.Column("cart_date", sa.Date, primary_key=True, comment="UTC date of the cart"),
    sa.Column("cart_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="Id"),
    sa.Column(
        "occurrence",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        comment="1, or which further cart with the same id and day",
    ),
    sa.Column("sold_at", UTC_TIME, nullable=False, comment="UTC time of the cart"),
    sa.Column("user_id", sa.BigInteger, comment="The buyer"),
    comment="The carts of each day, as last captured",
    **OPTIONS,
)

CART_ITEMS = sa.Table(
    "cart_items",
    METADATA,
    sa.Column("cart_date", sa.Date, primary_key=True, comment="UTC date of the cart"),
    sa.Column("cart_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="The cart"),
    sa.Column(
        "occurrence",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        comment="Which cart of that id and day",
    ),
    sa.Column(
        "line_number",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        comment="Order in the cart, from 1",
    ),
    sa.Column("product_id", sa.BigInteger, comment="The product"),
    sa.Column("quantity", sa.Integer, comment="Units, as the API gave them"),
    comment="The lines of the carts of each day, as last captured",
    **OPTIONS,
)
