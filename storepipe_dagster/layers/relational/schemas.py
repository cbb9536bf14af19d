"""The contracts of the extracted files: exact types, whatever the database's driver hands out."""

from collections.abc import Iterable

import pyarrow as pa

MONEY = pa.decimal128(12, 2)
UTC_TIME = pa.timestamp("us", "UTC")


def _field(name: str, data_type: pa.DataType, comment: str, *, personal: bool = False) -> pa.Field:
    metadata = {"comment": comment} | ({"personal_data": "true"} if personal else {})
    return pa.field(name, data_type, metadata=metadata)


def _extract(table: str, fields: Iterable[pa.Field]) -> pa.Schema:
    """A table's columns, each made of the database's column of its name."""
    return pa.schema(
        [
            field.with_metadata({**field.metadata, b"from": f"mysql/{table}:{field.name}".encode()})
            for field in fields
        ]
    )


PRODUCTS = _extract(
    "products",
    [
        _field("product_id", pa.int64(), "Id"),
        _field("product_title", pa.string(), "Title, trimmed"),
        _field("category", pa.string(), "Category, trimmed"),
        _field("unit_price", MONEY, "Price as last captured; null if it had none"),
        _field("description", pa.string(), "Description"),
        _field("image_url", pa.string(), "Address of the picture"),
        _field("rating", pa.float64(), "Mean of the buyers' ratings"),
        _field("rating_count", pa.int64(), "Number of ratings"),
    ],
)

USERS = _extract(
    "users",
    [
        _field("user_id", pa.int64(), "Id"),
        _field("username", pa.string(), "Login name", personal=True),
        _field("first_name", pa.string(), "First name", personal=True),
        _field("last_name", pa.string(), "Last name", personal=True),
        _field("email", pa.string(), "E-mail address", personal=True),
        _field("phone", pa.string(), "Telephone number", personal=True),
        _field("street", pa.string(), "Street", personal=True),
        _field("street_number", pa.string(), "Number in the street", personal=True),
        _field("zipcode", pa.string(), "Postal code", personal=True),
        _field("latitude", pa.string(), "Latitude, as the API writes it", personal=True),
        _field("longitude", pa.string(), "Longitude, as the API writes it", personal=True),
        _field("city", pa.string(), "City, trimmed and title-cased"),
    ],
)

CARTS = _extract(
    "carts",
    [
        _field("cart_date", pa.date32(), "UTC date of the cart"),
        _field("cart_id", pa.int64(), "Id"),
        _field("occurrence", pa.int32(), "1, or which further cart with the same id and day"),
        _field("sold_at", UTC_TIME, "UTC time of the cart"),
        _field("user_id", pa.int64(), "The buyer"),
    ],
)

CART_ITEMS = _extract(
    "cart_items",
    [
        _field("cart_date", pa.date32(), "UTC date of the cart"),
        _field("cart_id", pa.int64(), "The cart"),
        _field("occurrence", pa.int32(), "Which cart of that id and day"),
        _field("line_number", pa.int32(), "Order in the cart, from 1"),
        _field("product_id", pa.int64(), "The product"),
        _field("quantity", pa.int32(), "Units, as the API gave them"),
    ],
)
