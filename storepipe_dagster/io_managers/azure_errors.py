"""What is wrong with a storage account, and what to do, from the errors of Azure's clients.

No key, signature or token is in these texts: they are made of codes and of the account's address.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from storepipe_dagster.errors import PassingError, UserError
from storepipe_dagster.storage_account import StorageAccount

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
NOW, CLOCK_SKEW = timedelta(), timedelta(minutes=5)
UNAUTHENTICATED, FORBIDDEN, SERVER_ERROR = 401, 403, 500
ASK_AGAIN, BEING_CHANGED = {408, 429}, {"ContainerBeingDeleted"}
# A wrong address, or a certificate that is not trusted, gets no better by itself.
STAYING = ("SSL", "certificate", "Name or service not known", "nodename")
NO_IDENTITY = (
    "no Azure identity was found or it was refused. Log in with az login, give the machine a "
    "managed identity, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET"
)
RIGHTS = {
    "key": "The account's network rules may not let this machine in",
    "sas": "Make a signature for the service blob, the types service, container and object, and "
    "the permissions read, write, delete, list, add and create; or look at the account's network "
    "rules",
    "identity": "Give this identity the role Storage Blob Data Contributor on the account, which "
    "takes some minutes to be felt; or look at the account's network rules",
}
BY_CODE = {
    "AccountIsDisabled": "the account is disabled. Look at it in the Azure portal",
    "AuthorizationProtocolMismatch": "the signature is for https only. Use the https endpoint",
    "AuthorizationSourceIPMismatch": "the signature is not for this machine's IP address. Make "
    "one for it",
    "ContainerBeingDeleted": "a container of it is being deleted. Try again in a minute",
    "ContainerNotFound": "a container is missing. Create the containers raw, trusted and refined, "
    "or give a credential that may create them",
    "KeyBasedAuthenticationNotPermitted": "the account does not permit keys. Set "
    f"AZURE_STORAGE_ACCOUNT_NAME in place of {CONNECTION_STRING}, and use an Azure identity",
    "ServerBusy": "it answered again and again that it is busy. Try again later, or with fewer "
    "runs at one time",
}
# How Azure's two transports, and the layers below them, tell these; the first that fits.
BY_TEXT = {
    ("resolve", "getaddrinfo", "Name or service not known", "nodename", "NameResolution"): (
        "no such host is known. Check the account's name, the endpoint and the DNS"
    ),
    ("SSL", "certificate"): (
        "TLS failed. Check that the address is https where it says so, and that its certificate "
        "is trusted here (SSL_CERT_FILE and REQUESTS_CA_BUNDLE name other authorities)"
    ),
    ("refused", "Connect call failed"): (
        "the connection is refused. Check the address and port, and that the server runs"
    ),
    ("timed out", "timeout", "Timeout"): (
        "no answer came in time. Check the network, a firewall or private endpoint maybe"
    ),
}
AGAIN = "That is its own trouble: try again later"
NO_STORAGE = "Check that the address is that of a storage account's blob service"
BROKEN_OFF = "the connection broke off. Check the network, and try again"


class LakeUnreachableError(UserError):
    """The storage account cannot be used; the message says why and what to do."""


class LakeAwayError(LakeUnreachableError, PassingError):
    """The storage account, or the way to it, has trouble of its own."""


def unreachable(error: AzureError, account: StorageAccount) -> LakeUnreachableError:
    """The error to raise for one of Azure's clients."""
    kind = LakeAwayError if passes(error) else LakeUnreachableError
    return kind(explain(error, account))


def explain(error: AzureError, account: StorageAccount) -> str:
    """What is wrong with the account, and what to do; no secret."""
    return f"{account.endpoint} cannot be used as the lake: {_reason(error, account)}."


def passes(error: AzureError) -> bool:
    """Whether the same request may succeed later: no answer, or one that asks for patience."""
    if isinstance(error, HttpResponseError) and error.response is not None:
        status = error.status_code or 0
        return status in ASK_AGAIN or status >= SERVER_ERROR or code_of(error) in BEING_CHANGED
    stays = isinstance(error, ClientAuthenticationError) or any(
        sign in text for text in _texts(error) for sign in STAYING
    )
    return not stays


def code_of(error: HttpResponseError) -> str:
    """Azure's name for what went wrong; empty if it gave none."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def _reason(error: AzureError, account: StorageAccount) -> str:
    if not isinstance(error, HttpResponseError):
        text = " ".join(_texts(error))
        fitting = (told for signs, told in BY_TEXT.items() if any(sign in text for sign in signs))
        return next(fitting, BROKEN_OFF)
    if error.response is None and isinstance(error, ClientAuthenticationError):
        return NO_IDENTITY
    code, status = code_of(error), error.status_code or 0
    what = f"{status} {code}".strip()
    if status == UNAUTHENTICATED or _is_unauthenticated(error):
        return f"{_skew(error) or _refused(account)} ({what})"
    if told := BY_CODE.get(code):
        return f"{told} ({what})"
    if status == FORBIDDEN:
        right = "right to create a missing container" if _creates_a_container(error) else "right"
        return f"the {right} is not given ({what}). {RIGHTS[_credential(account)]}"
    return f"it answered {what}. {AGAIN if status >= SERVER_ERROR else NO_STORAGE}"


def _refused(account: StorageAccount) -> str:
    """What to do where the credential itself is not accepted."""
    if account.key:
        return f"the account key is wrong. Copy it again from the portal to {CONNECTION_STRING}"
    if account.sas:
        if "sr=" in account.sas:
            return "the signature is for one container. Make one for the account"
        ends = parse_qs(account.sas).get("se", [""])[0]
        if (_since(ends, datetime.fromisoformat) or NOW) > NOW:
            return f"the signature expired at {ends}. Make a new one"
        return f"the signature is wrong, or its key was rotated. Copy it to {CONNECTION_STRING}"
    return "the Azure identity was refused. Check that its tenant is the account's"


def _is_unauthenticated(error: HttpResponseError) -> bool:
    """Whether the credential is refused, not its rights; Azurite has one code for both."""
    return code_of(error) == "AuthenticationFailed" or "to authenticate" in str(error.message)


def _creates_a_container(error: HttpResponseError) -> bool:
    response: Any = error.response
    request = response.request
    return request.method == "PUT" and "restype=container" in request.url


def _credential(account: StorageAccount) -> str:
    return "key" if account.key else "sas" if account.sas else "identity"


def _skew(error: HttpResponseError) -> str | None:
    """That our clock is off from the server's, if it is too far."""
    response: Any = error.response
    off = abs(_since(response.headers.get("Date", ""), parsedate_to_datetime) or NOW)
    minutes = round(off.total_seconds() / 60)
    told = f"this machine's clock is {minutes} minutes off from the server's. Set the clock"
    return told if off > CLOCK_SKEW else None


def _since(text: str, read: Callable[[str], datetime]) -> timedelta | None:
    """How long ago that was, by this machine's clock; nothing if it is no time."""
    try:
        moment = read(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return datetime.now(timezone.utc) - (
        moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    )


def _texts(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = getattr(error, "inner_exception", None) or error.__cause__
