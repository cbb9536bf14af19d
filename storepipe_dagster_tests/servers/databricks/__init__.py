"""A Databricks workspace on this machine: its REST API, and clusters that really run a task.

`workspace` is the way in. A request goes to `api`, which knows who may ask, and from there to
`accounts`, `dbfs`, `volumes`, `submission` or `runs`. A submitted run is lived through by
`lifecycle`: `clusters` gives it a driver with the libraries of `environments` and the Spark of
`spark`, and `bootstrap` is what that driver runs. The error codes and limits are the real ones as
far as the SDK, its documentation and recorded answers tell them.

What is not here: notebooks, jobs with a name, JVM libraries, cluster policies, Unity Catalog beyond
two volumes, rate limits, other users' rights, and Spark's classic API (`sc`).
"""
