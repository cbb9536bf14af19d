"""A TCP proxy in this process, in front of a server, that makes faults while it runs.

It speaks no TLS: what is encrypted passes, and can be cut, but not answered.
"""

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Direction = Literal["to_server", "to_client"]
RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)
BUSY_BODY = (
    b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><Error><Code>ServerBusy</Code>'
    b"<Message>The server is busy.</Message></Error>"
)
BUSY_HEAD = (
    b"HTTP/1.1 503 The server is busy.\r\nContent-Type: application/xml\r\n"
    b"Content-Length: %d\r\nx-ms-error-code: ServerBusy\r\nx-ms-version: 2021-12-02\r\n\r\n"
)


@dataclass
class _Cut:
    direction: Direction
    size: int
    times: int
    passed: int = 0


@dataclass
class _Busy:
    every: int
    times: int | None
    matching: bytes
    seen: int = 0


class Proxy:
    """Passes what comes on `port` to the server, and back; a `with` block closes it.

    `counts` tells what happened: `connections` (served), `requests` (HTTP), and the faults
    `refused`, `cut`, `busy` and `unreachable` (the server itself did not take the connection).
    Faults may be switched on and off from any thread; `heal` ends them all.
    """

    def __init__(self, server_port: int, *, http: bool = False) -> None:
        self.server_port = server_port
        self.http = http
        self.counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._live: set[_Connection] = set()
        self.heal()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def heal(self) -> None:
        """End every fault; what was cut stays cut."""
        with self._lock:
            self._refusing = False
            self._cut: _Cut | None = None
            self._busy: _Busy | None = None

    def refuse(self) -> None:
        """Reset every new connection from now on; those that live go on."""
        self._refusing = True

    def cut(self) -> int:
        """Cut all connections that live now; gives how many."""
        with self._lock:
            return sum(self._cut_one(connection) for connection in list(self._live))

    def cut_after(self, size: int, direction: Direction, *, times: int = 1) -> None:
        """Cut the connection on which the next `size` bytes are complete, and so on.

        The bytes of all connections in this direction count together, from now on; the last one
        is still passed on.
        """
        with self._lock:
            self._cut = _Cut(direction, size, times)

    def answer_busy(self, *, every: int = 1, times: int | None = None, matching: str = "") -> None:
        """Answer requests with Azure's 503 ServerBusy; the server does not see them.

        It is every `every`th request whose first line has the text `matching`, `times` times or
        until `heal`.
        """
        if not self.http:
            raise ValueError("only Proxy(..., http=True) can answer requests")
        with self._lock:
            self._busy = _Busy(every, times, matching.encode())

    def close(self) -> None:
        """Take no more connections and cut those that live."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._live:
                connection.reset()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            if self._refusing:
                self._count("refused")
                _reset_when_closed(client)
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                self._count("unreachable")
                _reset_when_closed(client)
                return
            with server:
                connection = _Connection(self, client, server)
                with self._lock:
                    self.counts["connections"] += 1
                    self._live.add(connection)
                try:
                    connection.run()
                finally:
                    with self._lock:
                        self._live.discard(connection)

    def _cut_one(self, connection: "_Connection") -> bool:
        with self._lock:
            if connection.was_reset:
                return False
            self.counts["cut"] += 1  # before the client can know
            connection.reset()
            return True

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _allowance(self, size: int, direction: Direction) -> int | None:
        """How many of these bytes may pass before the cut; None when there is none."""
        with self._lock:
            cut = self._cut
            if cut is None or cut.direction != direction:
                return None
            allowed = cut.size - cut.passed
            if size < allowed:
                cut.passed += size
                return None
            cut.passed = 0
            cut.times -= 1
            if cut.times == 0:
                self._cut = None
            return allowed

    def _is_busy(self, request: bytes) -> bool:
        with self._lock:
            self.counts["requests"] += 1
            busy = self._busy
            if busy is None or busy.matching not in request:
                return False
            busy.seen += 1
            if busy.seen % busy.every != 0:
                return False
            self.counts["busy"] += 1
            if busy.seen // busy.every == busy.times:
                self._busy = None
            return True


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.was_reset = False

    def run(self) -> None:
        """Serve until either side closes."""
        back = threading.Thread(
            target=self._until_closed, args=(self._pass_all, "to_client"), daemon=True
        )
        back.start()
        forth = self._pass_requests if self.proxy.http else self._pass_all
        self._until_closed(forth, "to_server")
        back.join()

    def reset(self) -> None:
        """Close both sides without waiting for what is on its way."""
        self.was_reset = True
        for side in (self.client, self.server):
            _reset_when_closed(side)
        self._shut()

    def _shut(self) -> None:
        """Wake both threads; the sockets are closed when both have ended."""
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):  # it is closed already
                side.shutdown(socket.SHUT_RDWR)

    def _until_closed(self, passing, direction: Direction) -> None:
        try:
            passing(direction)
        except OSError:  # one of the sides is gone: so is the connection
            pass
        finally:
            self._shut()

    def _pass_all(self, direction: Direction) -> None:
        source = self.server if direction == "to_client" else self.client
        while data := source.recv(1 << 16):
            self._pass(data, direction)

    def _pass_requests(self, direction: Direction) -> None:
        with self.client.makefile("rb") as stream:
            while head := _read_head(stream):
                request = head.partition(b"\r\n")[0]
                if self.proxy._is_busy(request):
                    for _ in _read_body(stream, head):
                        pass
                    body = b"" if request.startswith(b"HEAD ") else BUSY_BODY
                    self.client.sendall(BUSY_HEAD % len(BUSY_BODY) + body)
                else:
                    self._pass(head, direction)
                    for part in _read_body(stream, head):
                        self._pass(part, direction)

    def _pass(self, data: bytes, direction: Direction) -> None:
        target = self.client if direction == "to_client" else self.server
        allowed = self.proxy._allowance(len(data), direction)
        target.sendall(data[:allowed])
        if allowed is not None:
            self.proxy._cut_one(self)


def _reset_when_closed(side: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_WHEN_CLOSED)


def _read_head(stream) -> bytes:
    """A request's first line and headers with the empty line; nothing at the end."""
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _read_body(stream, head: bytes) -> Iterator[bytes]:
    """The bytes after the head that belong to this request, as they came."""
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        while line := stream.readline():
            size = int(line.partition(b";")[0], 16)
            yield line
            yield from _read(stream, size)
            yield stream.readline()
            if size == 0:
                return
    else:
        yield from _read(stream, int(headers.get(b"content-length", b"0")))


def _read(stream, size: int) -> Iterator[bytes]:
    while size > 0:
        part = stream.read1(min(size, 1 << 16))
        if not part:
            raise ConnectionError("the client closed in mid-request")
        size -= len(part)
        yield part
