"""A real HTTP server on this machine that answers as it is told, one step per request."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Step:
    """How one request is answered; ``status`` 0 closes the connection without a word.

    A body may be made from the query of the request.
    """

    body: bytes | Callable[[dict[str, str]], bytes] = b"[]"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    wait: float = 0.0
    wait_in_body: float = 0.0
    trickle: tuple[float, int] = (0.0, 0)  # spaces before the body: the pause, and how many
    trickle_headers: tuple[float, int] = (0.0, 0)
    for_ever: bytes = b""  # follows the body, again and again


class ScriptedServer(ThreadingHTTPServer):
    """Each path has its list of steps; the last one is repeated."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.steps: dict[str, list[Step]] = defaultdict(lambda: [Step()])
        self.seen: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        """A client that stops reading is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_POST(self):
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path)
        steps = self.server.steps[parts.path]
        step = steps[min(self.server.seen[parts.path], len(steps) - 1)]
        self.server.seen[parts.path] += 1
        query = dict(parse_qsl(parts.query))
        self.server.queries.append(query)
        self.server.headers.append(dict(self.headers))
        _pause(step.wait)
        if step.status == 0:
            self.close_connection = True
            return
        body = step.body if isinstance(step.body, bytes) else step.body(query)
        self.send_response(step.status)
        spaces = step.trickle[1]
        for name, value in {"Content-Length": str(spaces + len(body)), **step.headers}.items():
            self.send_header(name, value)
        self.flush_headers()
        self._trickle(b"X-Slow: ", *step.trickle_headers)
        self.end_headers()
        self._trickle(b"", *step.trickle)
        sent = body[: step.cut_after]
        self.wfile.write(sent[:1])
        self.wfile.flush()
        _pause(step.wait_in_body)
        self.wfile.write(sent[1:])
        while step.for_ever:
            self.wfile.write(step.for_ever)
            self.wfile.flush()
            _pause(0.01)

    def _trickle(self, before, pause, pieces):
        for piece in [before, *[b" "] * (pieces - 1)] if pieces else []:
            self.wfile.write(piece)
            self.wfile.flush()
            _pause(pause)

    def log_message(self, *_):
        pass


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # tests put another time.sleep in place to see the waits


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """Serve until the end of the block."""
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
