"""Adapt an environment to the local Fly, where it must not touch anything outside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from roost.environment.fields import Secret, Source
from roost.environment.load import EnvironmentFile
from roost.environment.model import PostgresDatabase, SqliteDatabase
from roost.environment.rules import replica_of
from roost.environment.waker_unit import deploys_waker

NO_VALUE = "ROOST_NO_VALUE"
"""A variable that is never set."""
_THIS_COMPUTER = re.compile(r"http://(127\.0\.0\.1|localhost)(:[0-9]+)?", re.ASCII)


def rehearsed(file: EnvironmentFile) -> EnvironmentFile:
    """Return a file without its copy to a bucket, unless the bucket is on this computer.

    The real server writes to the bucket: a second writer would corrupt the copy, and an empty volume
    here would restore the real server's data. A waker that another environment deploys is left out,
    as it is not here.
    """
    if file.environment.waker and not deploys_waker(file):
        alone = file.environment.model_copy(update={"waker": None})
        file = replace(file, environment=alone)
    replica = replica_of(file.environment)
    if replica is None or _THIS_COMPUTER.fullmatch(replica.endpoint or ""):
        return file
    database = file.environment.database.model_copy(update={"replicate": None})
    return replace(file, environment=file.environment.model_copy(update={"database": database}))


def confined(file: EnvironmentFile) -> EnvironmentFile:
    """Return an untrusted file for a rehearsal: without any copy, and without values of secrets.

    Each secret gets a source that has no value, so that a generated one is used, whatever is set on
    this computer.
    """
    environment = file.environment
    flows = tuple(
        entry.model_copy(update={"secrets": _without_values(entry.secrets)})
        for entry in environment.flows
    )
    of_objects = {"object_secrets": _without_values(environment.prefect.object_secrets)}
    update: dict[str, object] = {
        "secrets": _without_values(environment.secrets),
        "prefect": environment.prefect.model_copy(update=of_objects),
        "flows": flows,
        "notify": (),
    }
    if isinstance(environment.database, SqliteDatabase):
        update["database"] = environment.database.model_copy(update={"replicate": None})
    return replace(file, environment=environment.model_copy(update=update))


def _without_values(secrets: Iterable[Secret]) -> tuple[Secret, ...]:
    """Return secrets whose source has no value."""
    nowhere = Source(env=NO_VALUE)
    return tuple(secret.model_copy(update={"source": nowhere}) for secret in secrets)


@dataclass(frozen=True)
class Unplayable:
    """The reason why an environment cannot be rehearsed here, as a word and as a sentence."""

    word: str
    why: str


def unplayable(file: EnvironmentFile, memory_mb: int) -> Unplayable | None:
    """Return why an environment cannot run on a computer with `memory_mb`; None where it can."""
    environment = file.environment
    if isinstance(environment.database, PostgresDatabase):
        return Unplayable(
            "database-elsewhere",
            "Its database runs somewhere else and is not touched from here, so nothing was started; "
            "the file was checked.",
        )
    if environment.machine.memory_mb > memory_mb:
        return Unplayable(
            "larger-than-here",
            f"Its machine has {environment.machine.memory_mb} MB and this computer {memory_mb} MB, "
            "so nothing was started; the file was checked.",
        )
    return None
