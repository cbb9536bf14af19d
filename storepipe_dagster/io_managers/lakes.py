"""Which lake a deployment has. No Dagster here: ``storepipe sql`` starts with this."""

from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.settings import Settings


def lake_of(settings: Settings) -> Lake:
    """A folder, or the containers of an Azure storage account."""
    if settings.dagster_deployment == "local":
        return Lake(root=str(settings.storepipe_home / "lake"))
    from storepipe_dagster.io_managers.azure_lake import AzureLake  # noqa: PLC0415  # slow

    on_sail = not settings.on_cluster
    if settings.azure_storage_connection_string is None:
        return AzureLake(account_name=settings.azure_storage_account_name, on_sail=on_sail)
    text = settings.azure_storage_connection_string.get_secret_value()
    return AzureLake(connection_string=text, on_sail=on_sail)
