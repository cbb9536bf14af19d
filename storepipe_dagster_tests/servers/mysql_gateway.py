"""Something between a client and a MySQL server that refuses LOAD DATA, as some proxies do."""

import contextlib
import socket
import threading
from collections.abc import Iterator

QUERY = 3
HEADER = 4  # three bytes of length, and the number of the packet


@contextlib.contextmanager
def refusing_loads(server_port: int, code: int) -> Iterator[int]:
    """Pass on all but LOAD DATA, which is refused with this error; gives the port. No TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection(("127.0.0.1", server_port))
                    for work in ((_answers, server, client), (_requests, client, server, code)):
                        threading.Thread(target=work[0], args=work[1:], daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answers(server: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError), server, client:
        while data := server.recv(65536):
            client.sendall(data)


def _requests(client: socket.socket, server: socket.socket, code: int) -> None:
    with contextlib.suppress(OSError), client, server, client.makefile("rb") as stream:
        while header := stream.read(HEADER):
            content = stream.read(int.from_bytes(header[:3], "little"))
            if content[:1] == bytes([QUERY]) and content[1:].startswith(b"LOAD DATA"):
                client.sendall(_error(code, header[3] + 1))
            else:
                server.sendall(header + content)


def _error(code: int, number: int) -> bytes:
    content = b"\xff" + code.to_bytes(2, "little") + b"#HY000The gateway refuses this 'statement'."
    return len(content).to_bytes(3, "little") + bytes([number]) + content
