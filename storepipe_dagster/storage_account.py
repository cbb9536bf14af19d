"""An Azure storage account, as its connection string or its name tells it.

Pure text; who opens connections is ``io_managers.azure_lake``.
"""

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

NAME = re.compile("[a-z0-9]{3,24}")
PUBLIC_SUFFIX = "core.windows.net"
# The emulator's account and key are the same everywhere and published by Microsoft.
EMULATOR = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


class ConnectionStringError(ValueError):
    """A connection string cannot be used; the message does not show it."""


@dataclass(frozen=True)
class StorageAccount:
    """Where an account answers and what opens it; without key and SAS, the Azure credential."""

    name: str
    endpoint: str
    suffix: str = PUBLIC_SUFFIX
    key: str | None = field(default=None, repr=False)
    sas: str | None = field(default=None, repr=False)

    @classmethod
    def named(cls, name: str) -> "StorageAccount":
        """An account of the public cloud, opened with the default Azure credential.

        Raises ``ConnectionStringError`` for what is no account's name.
        """
        if not NAME.fullmatch(name):
            raise ConnectionStringError(
                "it is no storage account's name: 3 to 24 small letters and digits, and no address"
            )
        return cls(name, f"https://{name}.blob.{PUBLIC_SUFFIX}")

    @classmethod
    def from_connection_string(cls, text: str) -> "StorageAccount":
        """Read a connection string; raises ``ConnectionStringError``.

        Without an account key and a shared access signature it says where the account is, and the
        default Azure credential opens it.
        """
        parts = _parts(text)
        if parts.get("usedevelopmentstorage", "").lower() == "true":
            parts = _parts(EMULATOR)
        endpoint = parts.get("blobendpoint", "").rstrip("/")
        suffix = parts.get("endpointsuffix") or _suffix_in(endpoint) or PUBLIC_SUFFIX
        name = parts.get("accountname") or _name_in(endpoint)
        if not name:
            raise ConnectionStringError("it has no AccountName")
        _expect_address(endpoint)
        if not _is_key(parts.get("accountkey")):
            raise ConnectionStringError(
                "its AccountKey is not whole: it is Base64, whose length is a multiple of four, "
                "mostly by an = or two at its end. Copy it again"
            )
        protocol = parts.get("defaultendpointsprotocol", "https")
        return cls(
            name,
            endpoint or f"{protocol}://{name}.blob.{suffix}",
            suffix,
            parts.get("accountkey"),
            parts.get("sharedaccesssignature", "").removeprefix("?") or None,
        )


def _parts(text: str) -> dict[str, str]:
    """The settings by lower-case name; values may hold ``=`` themselves."""
    pairs = [part.partition("=") for part in text.strip().split(";") if part.strip()]
    if not pairs or not all(separator and value for _, separator, value in pairs):
        raise ConnectionStringError("it is not a list of Name=value separated by ';'")
    found = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if spaced := [name for name, value in found.items() if len(value.split()) > 1]:
        raise ConnectionStringError(f"there are spaces in the value of {', '.join(spaced)}")
    return found


def _expect_address(endpoint: str) -> None:
    """Raise ``ConnectionStringError`` for more than where an account is."""
    if {"?", "@"} & set(endpoint):
        raise ConnectionStringError(
            "its BlobEndpoint is more than an address; a signature stands in SharedAccessSignature"
        )
    address = urlsplit(endpoint)
    folders = [part for part in address.path.split("/") if part]
    of_the_account = 0 if ".blob." in (address.hostname or "") else 1
    if len(folders) > of_the_account:
        raise ConnectionStringError(
            f"its BlobEndpoint leads into the account, to {folders[of_the_account]!r}: leave that "
            "away, as the containers are ours to name"
        )


def _is_key(key: str | None) -> bool:
    try:
        return key is None or bool(base64.b64decode(key, validate=True))
    except ValueError:
        return False


def _suffix_in(endpoint: str) -> str | None:
    """The cloud in https://NAME.blob.SUFFIX."""
    return (urlsplit(endpoint).hostname or "").partition(".blob.")[2] or None


def _name_in(endpoint: str) -> str | None:
    """The account in https://NAME.blob.… or in the path of http://127.0.0.1:10000/NAME."""
    address = urlsplit(endpoint)
    if ".blob." in (address.hostname or ""):
        return str(address.hostname).split(".", 1)[0]
    return address.path.strip("/") or None
