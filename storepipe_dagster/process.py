"""What each process of ours begins with: private files, no proxy to itself, no secrets in logs.

Called by the commands, and by the definitions, which code servers and run workers load first.
"""

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from storepipe_dagster.errors import UserError
from storepipe_dagster.open_files import raise_limit

OWNER_ONLY = 0o077  # what others may not do with a new file
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# They log the address of each request: a signature is in it, or the whole is a secret.
LOGGERS_OF_ADDRESSES = ("urllib3.connectionpool", "urllib3.util.retry", "urllib3")
QUERY = re.compile(r"\?[^\s'\"]+")


class SurroundingsError(UserError):
    """What a process was started with cannot be used."""


def prepare_process() -> None:
    """Set up this process, and those that it starts; raises ``SurroundingsError``."""
    open_standard_streams()
    expect_text(sys.argv, os.environ)
    expect_folder()
    raise_limit()
    os.umask(OWNER_ONLY)  # captures, tables and histories hold personal data
    reach_loopback_directly(os.environ)
    for name in LOGGERS_OF_ADDRESSES:
        logging.getLogger(name).addFilter(without_addresses)


def open_standard_streams() -> None:
    """Open those that were closed, to nowhere: the next file would take their numbers."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w"))


def expect_text(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Refuse what is not UTF-8: engines break on it, and print the value, which may be a secret."""
    if any(not _is_text(argument) for argument in arguments):
        raise SurroundingsError("An argument is not UTF-8 text.")
    if odd := sorted(name for name, value in environment.items() if not _is_text(name + value)):
        names = ", ".join(map(ascii, odd))
        raise SurroundingsError(f"Not UTF-8 text in the environment: {names}. Unset it or set it.")


def _is_text(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)


def expect_folder() -> None:
    """Refuse to run in a folder that is gone: DuckDB would end the process."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise SurroundingsError("The current folder is gone: cd to one that exists.") from None


def without_addresses(record: logging.LogRecord) -> bool:
    """Whether to log what a library says of a request; a warning loses its queries."""
    record.msg, record.args = QUERY.sub("?...", record.getMessage()), ()
    return record.levelno >= logging.WARNING


def reach_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Except this machine from the proxies of the environment: Spark is reached by its network.

    Libraries read the one spelling or the other.
    """
    listed = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    names = [name for name in listed.replace(",", " ").split() if name]
    if "*" not in names:
        names += [name for name in LOOPBACK if name not in names]
    for variable in ("no_proxy", "NO_PROXY"):
        environment[variable] = ",".join(names)
