"""Spark steps on Databricks, by dagster-databricks' step launcher.

``step_launcher`` is the resource: its settings, and when a launch is worth another try. ``launch``
makes one step one Databricks run, from ``run_request`` (what is asked of Databricks) and
``shipped`` (code and libraries); ``clients`` can stage where there is no DBFS. ``following`` brings
home what the run tells, ``endings`` knows how runs end.
"""
