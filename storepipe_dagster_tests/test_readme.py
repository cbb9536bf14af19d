"""What the README tells to type, typed."""

import json
import re
from pathlib import Path

from storepipe_dagster.layers.mysql.schemas import CART_ITEMS, CARTS
from storepipe_dagster.resources.databricks.run_request import NewCluster
from storepipe_dagster.settings import Settings
from storepipe_dagster_tests.resources.cart_lines import CAPTURE
from storepipe_dagster_tests.servers.mariadb import Database

README = Path(__file__).parents[1] / "README.md"
DAY = "2020-03-02"


def test_the_account_of_the_readme_can_load_a_day_and_then_needs_no_create(
    database_server, authority
):
    sql, *_ = re.findall(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
    for statement in sql.split(";"):
        if statement.strip():
            database_server.execute(statement)
    made = Database("localhost", database_server.port, "storepipe", "store", "choose-a-password")
    database = made.resource(ssl_ca=str(authority.path))
    rows = {
        CARTS: [(DAY, 1, 1, f"{DAY} 10:00:00.000000", 5)],
        CART_ITEMS: [(DAY, 1, 1, 1, 3, 2)],
    }
    database.replace_day(DAY, "cart_date", rows, capture=CAPTURE)
    database_server.execute("REVOKE CREATE ON store.* FROM 'storepipe'@'%'")
    again = made.resource(ssl_ca=str(authority.path))
    assert again.replace_day(DAY, "cart_date", rows, capture=CAPTURE) == {CARTS: 1, CART_ITEMS: 1}


def test_the_cluster_policy_of_the_readme_allows_the_cluster_that_is_asked_for_by_default():
    [policy] = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    default = {name: field.default for name, field in Settings.model_fields.items()}
    cluster = NewCluster(
        spark_version=default["databricks_spark_version"],
        node_type=default["databricks_node_type"],
        workers=default["databricks_workers"],
    ).request({})
    asked = {**cluster, **cluster["nodes"]["node_types"], **cluster["size"], "cluster_type": "job"}
    for attribute, rule in json.loads(policy).items():
        match rule:
            case {"type": "fixed", "value": value}:
                assert asked[attribute] == value
            case {"type": "allowlist", "values": values}:
                assert asked[attribute] in values
            case {"type": "range", "maxValue": most}:
                assert asked[attribute] <= most
            case _:
                raise AssertionError(f"{attribute} has a rule that is not looked at: {rule}")
