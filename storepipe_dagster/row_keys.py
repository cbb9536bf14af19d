"""What tells one row of a Delta table from another, for all of them; declared in the schemas.

Tables are named as in SQL.
"""

from storepipe_dagster.layers.refined import schemas as refined
from storepipe_dagster.layers.trusted import schemas as trusted

LAYERS = {"trusted": trusted.ROW_KEYS, "refined": refined.ROW_KEYS}
ROW_KEYS = {
    f"{layer}.{table}": row_key
    for layer, of_layer in LAYERS.items()
    for table, row_key in of_layer.items()
}
