"""The demo, made once for all tests that only look at it."""

import pytest

from storepipe_dagster_tests.end_to_end.commands import Home


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A home that the demo made, and what the command said."""
    home = Home(tmp_path_factory.mktemp("demo"))
    return home, home.command("demo", "--carts", "1200", "--days", "40", "--seed", "5")
