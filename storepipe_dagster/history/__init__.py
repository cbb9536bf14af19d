"""What the Delta tables were: their versions, what changed between two, going back to one.

- ``tables``       tables by name, and a table as of a version or a time
- ``versions``     the versions that the transaction log tells of
- ``changes``      the rows that differ between two versions
- ``listing``      the versions as rows for people, with their runs
- ``rollback``     making a table what it was at a version, as a new version
- ``company``      the tables that go with a table, and the commands that bring them along
- ``judging``      the blocking checks on what came back
- ``maintenance``  compaction, retention and vacuum
- ``ops``          going back and maintenance as ops of Dagster, recorded in the assets' history
"""
