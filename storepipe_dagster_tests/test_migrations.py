"""Tests of `migrations`: that it still reaches what Dagster and Alembic do."""

import dagster as dg

from storepipe_dagster_tests import migrations


def test_a_second_instance_loads_no_migration_again():
    with dg.DagsterInstance.ephemeral():
        first = migrations._load_once.cache_info()
    with dg.DagsterInstance.ephemeral() as instance:
        second = migrations._load_once.cache_info()
        assert instance.get_runs() == []
    assert first.currsize > 50
    assert (second.misses, second.hits > first.hits) == (first.misses, True)
