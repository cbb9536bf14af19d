"""The record contracts of the API: what a record must have to go on.

Missing or null ids of a cart's user and products, and missing quantities, pass: those lines are
rejected one by one in ``trusted``, with a reason, so that they do not take the cart with them.
Fields that no model names are kept and reported. An answer of ten or more in which no record has
a field of ``NEEDED``, though it may be missing in some, is refused: the store has renamed it.
"""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from storepipe_dagster.times import utc_time

LARGEST_PRICE = 9_999_999_999.995  # exclusive: from there on it rounds beyond decimal(12,2)

LONGEST_TEXT = 2**17  # characters; what a server takes in one statement is not much more


def _is_time(text: str) -> str:
    try:
        utc_time(text)
    except (ValueError, OverflowError):
        raise ValueError("should be an ISO 8601 time") from None
    return text


Id = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Quantity = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Price = Annotated[float, Field(gt=-LARGEST_PRICE, lt=LARGEST_PRICE)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Time = Annotated[str, AfterValidator(_is_time)]


class Record(BaseModel):
    """A JSON object: JSON's own types, nothing guessed from strings."""

    model_config = ConfigDict(
        strict=True, extra="allow", hide_input_in_errors=True, allow_inf_nan=False
    )

    NEEDED: ClassVar[tuple[str, ...]] = ()
    PARTS: ClassVar[tuple[str, ...]] = ()  # the fields that are records, or lists of records

    def unknown_fields(self) -> set[str]:
        """Names of the fields that the contract does not know, with dots for nesting."""
        unknown = set(self.__pydantic_extra__ or ())
        for name in self.PARTS:
            value = self.__dict__[name]
            for part in value if isinstance(value, list) else (value,):
                if part is not None and (part.__pydantic_extra__ or part.PARTS):
                    unknown |= {f"{name}.{inner}" for inner in part.unknown_fields()}
        return unknown

    def missing_fields(self) -> set[str]:
        """Names, as the API has them, of the contract's fields that are null or not there."""
        fields = type(self).model_fields
        return {fields[name].alias or name for name in fields if getattr(self, name) is None}


PERSONAL: dict[str, Any] = {"personal_data": True}


class Rating(Record):
    """How buyers rated a product."""

    rate: float | None = None
    count: Id | None = None


class Product(Record):
    """An element of ``GET /products``; a negative or missing price is judged with its sales."""

    NEEDED: ClassVar = ("price",)
    PARTS: ClassVar = ("rating",)

    id: Id = Field(description="Id")
    title: Text = Field(description="Title")
    category: Text = Field(description="Category")
    price: Price | None = Field(default=None, description="Price of one unit")
    description: Text | None = Field(default=None, description="Description")
    image: Text | None = Field(default=None, description="Address of the picture")
    rating: Rating | None = Field(default=None, description="Mean and number of ratings")


class Geolocation(Record):
    """Where an address lies; strings in the API."""

    lat: Text | float | None = None
    long: Text | float | None = None


class Address(Record):
    """A user's address."""

    PARTS: ClassVar = ("geolocation",)

    city: Text | None = None
    street: Text | None = None
    number: int | Text | None = None
    zipcode: Text | int | None = None
    geolocation: Geolocation | None = None


class Name(Record):
    """A user's name."""

    firstname: Text | None = None
    lastname: Text | None = None


class User(Record):
    """An element of ``GET /users``, without the password."""

    NEEDED: ClassVar = ("address.city",)
    PARTS: ClassVar = ("name", "address")

    id: Id = Field(description="Id")
    email: Text | None = Field(default=None, description="E-mail", json_schema_extra=PERSONAL)
    username: Text | None = Field(default=None, description="Login", json_schema_extra=PERSONAL)
    name: Name | None = Field(default=None, description="Name", json_schema_extra=PERSONAL)
    phone: Text | None = Field(default=None, description="Telephone", json_schema_extra=PERSONAL)
    address: Address | None = Field(
        default=None, description="City, street and location", json_schema_extra=PERSONAL
    )
    version: Any = Field(default=None, alias="__v", description="Version of the record")


class Line(Record):
    """A product in a cart."""

    product_id: Id | None = Field(default=None, alias="productId")
    quantity: Quantity | None = None


class Cart(Record):
    """An element of ``GET /carts``."""

    NEEDED: ClassVar = ("userId", "products.productId", "products.quantity")
    PARTS: ClassVar = ("products",)

    id: Id = Field(description="Id")
    user_id: Id | None = Field(default=None, alias="userId", description="The buyer")
    date: Time = Field(description="When, ISO 8601")
    products: list[Line] = Field(description="The lines: product and quantity, in order")
    version: Any = Field(default=None, alias="__v", description="Version of the record")
