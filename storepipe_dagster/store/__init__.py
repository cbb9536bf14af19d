"""The embedded store: a server that speaks the Fake Store API, for demos, tests and offline work.

- `shop`: what a shop is, and how its loosely typed records are read.
- `synthetic` (with `vocabulary`): a seeded shop of any size.
- `folder`: a shop of JSON files.
- `server`: the HTTP endpoints over either shop.
- `process`: the server in a process of its own; `python -m storepipe_dagster.store` is its command.

Nothing here knows the pipeline: the two meet over HTTP only.
"""
