"""The command ``storepipe`` with its lake in a folder and its database on a MySQL server.

No deployment is like that; the loose scripts are. Settings: those of ``local``, and ``MYSQL_…``.
"""

from storepipe_dagster.cli import main
from storepipe_dagster.resources import deployments
from storepipe_dagster.resources.database import Database
from storepipe_dagster.settings import Settings

database = deployments.database


def on_mysql(settings: Settings) -> Database:
    return database(settings.model_copy(update={"dagster_deployment": "azure"}))


if __name__ == "__main__":
    deployments.database = on_mysql
    main()
