"""A private MySQL server: what it does otherwise than MariaDB."""

from collections.abc import Sequence
from pathlib import Path

from storepipe_dagster_tests.servers.mariadb import MariaDb, as_root


class MySql(MariaDb):
    """A MySQL server with its own defaults; its users log in with caching_sha2_password."""

    name = "mysql"
    server_program = "mysqld"
    identified = "IDENTIFIED WITH caching_sha2_password BY"

    def make_data(self, folder: Path) -> None:
        self.run(
            self.program,
            "--no-defaults",
            "--initialize-insecure",
            f"--datadir={folder}",
            *as_root(),
        )

    def command(self) -> Sequence[str | Path]:
        # Debian's build wants folders of the whole machine for these two.
        return [*super().command(), "--mysqlx=OFF", "--secure-file-priv=NULL"]
