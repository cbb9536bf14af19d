"""What the doctor's tests share: an address that does not answer, and one that says nothing."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from storepipe_dagster_tests.servers.process import free_port


@pytest.fixture
def nobody() -> int:
    """A port that nobody listens on."""
    return free_port()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that answers no connection, as behind a firewall: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and then says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]
