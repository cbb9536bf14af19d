"""What each process of ours begins with: private files, no proxy to itself, no secrets in logs.

Called by the commands, and by the definitions, which code servers and run workers load first.
"""

import logging
import os
import re
from collections.abc import MutableMapping

from storepipe_dagster.open_files import raise_limit

OWNER_ONLY = 0o077  # what others may not do with a new file
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# They log the address of each request: a signature is in it, or the whole is a secret.
LOGGERS_OF_ADDRESSES = ("urllib3.connectionpool", "urllib3.util.retry", "urllib3")
QUERY = re.compile(r"\?[^\s'\"]+")


def prepare_process() -> None:
    """Set up this process, and those that it starts."""
    raise_limit()
    os.umask(OWNER_ONLY)  # captures, tables and histories hold personal data
    reach_loopback_directly(os.environ)
    for name in LOGGERS_OF_ADDRESSES:
        logging.getLogger(name).addFilter(without_addresses)


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
