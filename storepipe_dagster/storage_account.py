"""An Azure storage account, as its connection string or its name tells it.

Pure text; who opens connections is ``io_managers.azure_lake``.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

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
        """An account of the public cloud, opened with the default Azure credential."""
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
        if {"?", "@"} & set(endpoint):
            raise ConnectionStringError(
                "its BlobEndpoint is more than an address; a signature stands in "
                "SharedAccessSignature"
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
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _suffix_in(endpoint: str) -> str | None:
    """The cloud in https://NAME.blob.SUFFIX."""
    return (urlsplit(endpoint).hostname or "").partition(".blob.")[2] or None


def _name_in(endpoint: str) -> str | None:
    """The account in https://NAME.blob.… or in the path of http://127.0.0.1:10000/NAME."""
    address = urlsplit(endpoint)
    if ".blob." in (address.hostname or ""):
        return str(address.hostname).split(".", 1)[0]
    return address.path.strip("/") or None
