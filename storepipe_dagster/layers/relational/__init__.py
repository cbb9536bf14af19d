"""The database tables as Parquet files."""
