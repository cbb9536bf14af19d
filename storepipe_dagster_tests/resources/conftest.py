"""The lakes of the IO managers' tests are for these, too."""

from storepipe_dagster_tests.io_managers.lakes import lake, make_lake  # noqa: F401
