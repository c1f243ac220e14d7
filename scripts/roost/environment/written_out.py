"""Write an environment out whole, with every default, in the form of its file."""

from __future__ import annotations

from typing import Any

from roost.environment.fields import Secret
from roost.environment.files import EnvironmentFile
from roost.environment.model import PostgresDatabase


def merged(file: EnvironmentFile) -> dict[str, Any]:
    """Return an environment with every default written out, in the form of the file."""
    data = file.environment.model_dump(mode="json", by_alias=True, exclude_none=True)
    flows = [
        {**written, "secrets": [_as_written(secret) for secret in entry.secrets]}
        for written, entry in zip(data.pop("flows"), file.environment.flows, strict=True)
    ]
    secrets = [_as_written(secret) for secret in file.environment.secrets]
    of_objects = [_as_written(secret) for secret in file.environment.prefect.object_secrets]
    data["prefect"].pop("object_secrets")
    if of_objects:
        data["prefect"]["object_secrets"] = of_objects
    notify = [
        {"url_secret": _as_written(entry.url_secret), "on": written["on"]}
        for written, entry in zip(data.pop("notify"), file.environment.notify, strict=True)
    ]
    database = file.environment.database
    if isinstance(database, PostgresDatabase) and database.backups:
        data["database"]["backups"] |= {
            "access_key": _as_written(database.backups.access_key),
            "secret_key": _as_written(database.backups.secret_key),
        }
    lists = {"flows": flows, "notify": notify}
    written_out = {key: listed for key, listed in lists.items() if listed}
    return {**data, "secrets": secrets, **written_out}


def _as_written(secret: Secret) -> str | dict[str, Any]:
    """Return a secret in the short form a person writes, where one exists."""
    if secret.source.env == secret.name:
        return secret.name
    return {"name": secret.name, "from": secret.source.model_dump(exclude_defaults=True)}
