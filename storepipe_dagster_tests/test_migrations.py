"""Tests of `migrations`: that it still reaches what Dagster and Alembic do."""

import dagster as dg
from alembic.script import ScriptDirectory

from storepipe_dagster_tests import migrations


def test_a_second_instance_loads_no_migration_again(monkeypatch):
    with dg.DagsterInstance.ephemeral():
        first = dict(migrations._read)
    monkeypatch.setattr(ScriptDirectory, "_load_revisions", None)  # cannot be called
    with dg.DagsterInstance.ephemeral() as instance:
        assert instance.get_runs() == []
    assert first
    assert migrations._read == first
