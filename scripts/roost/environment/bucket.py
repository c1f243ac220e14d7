"""A bucket of S3, and the section `database.backups`, which keeps the dumps of a Postgres in one."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from roost.environment.fields import Secret
from roost.environment.strict import Model

# The access keys of a bucket, under the names that Litestream reads.
BUCKET_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# Only plain paths, so that no place has two names: no query, no credentials, no `..`.
_URL = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,127}){1,16}$"
# Private networks: this computer, and Fly's network between the machines of an organization.
_OWN_NETWORK = re.compile(
    r"http://(127\.0\.0\.1|localhost|.+\.(internal|flycast))(:\d+)?", re.ASCII
)

BucketUrl = Annotated[
    str, Field(pattern=_URL, max_length=512, examples=["s3://acme-backups/prefect/production"])
]
Endpoint = Annotated[
    str,
    Field(
        pattern=r"^https?://[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?$",
        examples=["https://fly.storage.tigris.dev"],
    ),
]
BucketRegion = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$", examples=["auto"])]


def is_unencrypted(endpoint: str | None) -> bool:
    """Return whether data would go to an endpoint unencrypted, outside of a private network."""
    found = endpoint or ""
    return found.startswith("http://") and not _OWN_NETWORK.fullmatch(found)


def expand_url(value: object, model: type[Model]) -> object:
    """Return the mapping of the short form `s3://BUCKET/PATH`, and a mapping unchanged.

    Raises:
        ValueError: the value is neither.
    """
    if not isinstance(value, str | dict | model):
        raise ValueError("must be s3://BUCKET/PATH, or a mapping with url")  # noqa: TRY004 - pydantic reports only ValueError as a fault of the file
    return {"url": value} if isinstance(value, str) else value


def allow_url(written: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a mapping with a url, with the url alone beside it."""
    return {"anyOf": [dict(written["properties"]["url"]), written]}


class Backups(Model):
    """Where `roost backup` keeps the dumps of a Postgres."""

    url: BucketUrl
    """s3://BUCKET/PATH; the path is this environment's alone."""
    endpoint: Endpoint | None = None
    """Where S3 is, if not at Amazon: Tigris, R2, MinIO and others."""
    region: BucketRegion | None = None
    """Region of the bucket; left out, it is us-east-1, or where Amazon says."""
    keep_days: Annotated[int, Field(ge=1, le=3650)] | None = 30
    """A backup removes the dumps that are older, never the newest one; null removes none."""
    access_key: Annotated[Secret, Field(validate_default=True)] = BUCKET_SECRETS[0]  # type: ignore[assignment] # validated, as from a file
    """The secret with the id of the bucket's key; it is not set on the app."""
    secret_key: Annotated[Secret, Field(validate_default=True)] = BUCKET_SECRETS[1]  # type: ignore[assignment] # validated, as from a file
    """The secret with the bucket's key; it is not set on the app."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        return expand_url(value, Backups)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Allow the short form, a url alone, beside the mapping."""
        return allow_url(handler.resolve_ref_schema(handler(core_schema)))
