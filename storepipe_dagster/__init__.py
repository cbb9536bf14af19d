"""storepipe: a Dagster asset graph from the Fake Store API to a Delta data lake.

The rooms, in the order in which data flows through them:

- ``layers.raw``         captures of the API, as it gave them
- ``layers.mysql``       the captures loaded into database tables
- ``layers.relational``  the tables extracted to Parquet
- ``layers.trusted``     product prices, sales and rejected sales, by PySpark
- ``layers.refined``     metrics by PySpark, and the report

Services that every layer shares: ``resources`` (the API, the database, Spark), ``io_managers``
(the lake and its file formats), ``settings``, ``partitions``, ``times``, ``columns``, ``pools``
(whose turn it is), ``patience`` (what waits at night), ``automation`` (what follows what),
``history`` (what the lake's tables were), ``ahead`` (what a thread makes meanwhile).
Orchestration on top: ``definitions``, ``graph``, ``rule_checks`` (a rule as a query),
``jobs``, ``schedules``, ``sensors`` (which tell ``messages``),
``runs`` (which take ``turns`` and keep ``leases``), ``standing`` (what is failed
or missing), ``failures`` (what passes), ``instance``, ``run_launcher``, ``cli``.
``process`` (what each process begins with), ``webserver`` (Dagster's, behind a guard), ``dev``.
``store`` is an embedded Fake Store compatible server, for demos and tests.
"""
