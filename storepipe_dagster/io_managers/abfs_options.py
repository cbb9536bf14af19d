"""How Hadoop's Azure client (ABFS), which Spark on a cluster uses, opens a storage account.

Where the account is an external location of Unity Catalog, that governs and none of this is looked
at. Source: Hadoop's documentation of ABFS, Databricks' "Connect to Azure Data Lake Storage".
"""

from collections.abc import Mapping

from storepipe_dagster.storage_account import StorageAccount

LOGIN = "https://login.microsoftonline.com"
# Spark's UI shows the settings of a session: these values it must not show.
HIDDEN = {"spark.sql.redaction.options.regex": r"(?i)url|account\.key|sas\.fixed|client\.secret"}
FIXED_SAS = "org.apache.hadoop.fs.azurebfs.sas.FixedSASTokenProvider"
CLIENT_CREDENTIALS = "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider"


def abfs_options(account: StorageAccount, environment: Mapping[str, str]) -> dict[str, str]:
    """Session settings for a key, a signature, or the service principal of the environment."""
    if account.key:
        options = {"fs.azure.account.key": account.key}
    elif account.sas:
        options = {
            "fs.azure.account.auth.type": "SAS",
            "fs.azure.sas.token.provider.type": FIXED_SAS,
            "fs.azure.sas.fixed.token": account.sas,
        }
    elif environment.get("AZURE_CLIENT_SECRET"):
        login = environment.get("AZURE_AUTHORITY_HOST", LOGIN).rstrip("/")
        options = {
            "fs.azure.account.auth.type": "OAuth",
            "fs.azure.account.oauth.provider.type": CLIENT_CREDENTIALS,
            "fs.azure.account.oauth2.client.id": environment["AZURE_CLIENT_ID"],
            "fs.azure.account.oauth2.client.secret": environment["AZURE_CLIENT_SECRET"],
            "fs.azure.account.oauth2.client.endpoint": (
                f"{login}/{environment['AZURE_TENANT_ID']}/oauth2/token"
            ),
        }
    else:
        return {}
    where = f"{account.name}.dfs.{account.suffix}"
    return {**HIDDEN, **{f"{name}.{where}": value for name, value in options.items()}}
