"""Rules for the section `database.backups`."""

from __future__ import annotations

from collections.abc import Iterator

from roost.environment.bucket import is_unencrypted
from roost.environment.job_variables import refused_source
from roost.environment.model import Environment
from roost.environment.rules import Finding, Rule


def dumps_are_private_on_their_way(environment: Environment) -> Iterator[Finding]:
    """A dump must be encrypted in transit: it holds every row, and the key of the server's blocks."""
    if environment.backups and is_unencrypted(environment.backups.endpoint):
        yield (
            ("database", "backups", "endpoint"),
            "the dumps would be sent unencrypted; write https://",
        )


def keys_are_two(environment: Environment) -> Iterator[Finding]:
    """The id of a key and the key are two values."""
    kept = environment.backups
    if kept and kept.access_key.name == kept.secret_key.name:
        yield (
            ("database", "backups", "secret_key"),
            f"{kept.secret_key.name} is the id of the key already; name the secret with the key itself",
        )


def keys_are_not_the_job_s(environment: Environment) -> Iterator[Finding]:
    """No key may come from a credential of the job, but for the two variables that are such keys."""
    for place, secret in environment.bucket_keys:
        if message := refused_source(secret, replicates=True, instead="key of the bucket"):
            yield (*place, "from", "env"), message


def keys_have_one_source(environment: Environment) -> Iterator[Finding]:
    """A name that is also under `secrets` means the same value there."""
    own = {secret.name: secret.source for secret in environment.secrets}
    for place, secret in environment.bucket_keys:
        if own.get(secret.name, secret.source) != secret.source:
            yield (
                place,
                f"{secret.name} has another source under secrets; choose another name here",
            )


BUCKET_RULES: tuple[Rule, ...] = (
    dumps_are_private_on_their_way,
    keys_are_two,
    keys_are_not_the_job_s,
    keys_have_one_source,
)
