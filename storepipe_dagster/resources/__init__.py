"""Services that layers share: the store's API, the database, Spark.

``deployments`` puts them together and is the only place that knows which deployment runs.
"""
