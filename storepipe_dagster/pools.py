"""The pool of the steps that write tables or check them: its limit lets one run at a time in.

A step is in one pool, and a run reads and checks tables beside those that it writes: with a pool
per table, a check would still see another run's half-done work. So all tables share one. Captures
are in none: they are files that nothing ever changes.
"""

TABLES = "storepipe_tables"
