"""What surrounds a storage account in Azure: managed identities, and names under core.windows.net.

Run as a module it uses the account of its environment with every client, in a process of its own.
"""

import http.server
import json
import os
import select
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import deltalake
import pyarrow as pa

from storepipe_dagster.io_managers.azure_lake import AzureLake
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster_tests.servers.azurite import access_token

HEADER = "the header of a managed identity"


def use_every_client(lake):
    """Write with each client what another one reads; gives what the last ones read."""
    options = lake.storage_options
    with lake.write("az://raw/page") as file:  # azure-storage-blob
        file.write(b"page")
    page = lake.files.cat_file("az://raw/page").decode()  # adlfs
    deltalake.write_deltalake("az://trusted/t", pa.table({"page": [page]}), storage_options=options)
    spark = InProcessSpark(lake=lake).spark_session
    table = spark.read.format("delta").load(lake.spark_path("az://trusted/t"))
    table.write.format("delta").mode("overwrite").save(lake.spark_path("az://refined/u"))
    with LakeSql(lake=lake).connect() as connection:
        return connection.sql("FROM refined.u").fetchall()


class ManagedIdentity(http.server.BaseHTTPRequestHandler):
    """The endpoint that App Service gives its applications; answers who has the header."""

    def do_GET(self):
        self.server.asked.append(self.headers["User-Agent"].partition("/")[0])
        known = self.headers["X-IDENTITY-HEADER"] == HEADER
        told = {
            "access_token": access_token(),
            "expires_on": str(int(time.time()) + 3600),
            "resource": "https://storage.azure.com",
            "token_type": "Bearer",
        }
        body = json.dumps(told if known else {}).encode()
        self.send_response(200 if known else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Tunnel(http.server.BaseHTTPRequestHandler):
    """A proxy for HTTPS: whatever host is asked for, it leads to one port of this machine."""

    def do_CONNECT(self):
        self.server.asked.append(self.path)
        with socket.create_connection(("127.0.0.1", self.server.target)) as far:
            self.send_response(200)
            self.end_headers()
            sides = {self.connection: far, far: self.connection}
            while all(
                self._pass(source, sides[source]) for source in select.select(sides, (), ())[0]
            ):
                pass
        self.close_connection = True

    @staticmethod
    def _pass(source, target):
        data = source.recv(1 << 16)
        target.sendall(data)
        return data

    def log_message(self, *_):
        pass


@contextmanager
def serve(handler, **attributes):
    """Run one of these servers; `asked` tells who asked it, or what for."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.asked = []
        for name, value in attributes.items():
            setattr(server, name, value)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


managed_identity = partial(serve, ManagedIdentity)


def tunnel(target):
    return serve(Tunnel, target=target)


def az_login(folder):
    """An `az` that is logged in; gives the folder for the PATH."""
    login = Path(folder) / "az"
    expires = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(time.time() + 3600))
    token = {
        "accessToken": access_token(),
        "expiresOn": expires,
        "expires_on": int(time.time()) + 3600,
        "subscription": "00000000-0000-0000-0000-000000000000",
        "tenant": "00000000-0000-0000-0000-000000000000",
        "tokenType": "Bearer",
    }
    login.write_text(f"#!/bin/sh\necho '{json.dumps(token)}'\n")
    login.chmod(0o755)
    return login.parent


if __name__ == "__main__":
    print(
        use_every_client(
            AzureLake(
                connection_string=os.environ.get("AZURE_STORAGE_CONNECTION_STRING"),
                account_name=os.environ.get("AZURE_STORAGE_ACCOUNT_NAME"),
            )
        )
    )
