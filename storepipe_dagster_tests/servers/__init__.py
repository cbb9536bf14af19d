"""The private servers of the tests: MariaDB, MySQL, Azurite, and a proxy that makes faults.

Each runs on a free port of this machine, in a temporary folder, and ends with the test run. See
`fixtures`; what must be installed is in `install`.
"""
