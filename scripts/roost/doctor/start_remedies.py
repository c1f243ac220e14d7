"""What corrects each cause of a server that does not start. Pure but for the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roost.doctor.file_change import remove_key, set_values
from roost.doctor.server_facts import ServerFacts
from roost.doctor.start_causes import Cause, Fix, refused_settings
from roost.doctor.volume_findings import is_filling, larger_volume
from roost.environment.model import PostgresDatabase
from roost.errors.command import Command
from roost.prefect.versions import parse_version

NO_DATABASE_STATUS = "503"


@dataclass(frozen=True)
class Remedy:
    """What corrects a cause: a sentence, a diff of the file, and commands."""

    mend: str
    change: str = ""
    commands: tuple[Command | str, ...] = ()


def remedy_of(facts: ServerFacts, cause: Cause | None, words: str) -> Remedy:
    """Return what corrects a cause.

    Args:
        facts: the server.
        cause: why it does not start; None if nothing tells.
        words: what showed the cause.
    """
    if cause is not None and cause.fix is Fix.SETTING:
        return _setting(facts, words)
    if cause is not None:
        return _REMEDIES[cause.fix](facts)
    if facts.answer.status == NO_DATABASE_STATUS:
        return Remedy(
            "the server runs, and its database does not answer",
            commands=(Command("doctor", facts.name, "--database"), Command("logs", facts.name)),
        )
    return Remedy("its log says more", commands=(Command("logs", facts.name),))


def _setting(facts: ServerFacts, words: str) -> Remedy:
    settings = facts.file.environment.prefect.settings
    names = refused_settings(words, settings)
    listed = ", ".join(names) or "the setting that it names"
    change = remove_key(facts.file, ("prefect", "settings", names[0])) if len(names) == 1 else ""
    how = "give it a value that Prefect accepts, or remove it" if names else "correct it"
    return Remedy(
        f"{listed}: {how}" + ("; without it the default counts" if change else ""),
        change,
        (Command("apply", facts.name),),
    )


def _version(facts: ServerFacts) -> Remedy:
    now = parse_version(facts.file.environment.prefect.version)
    newer = [v for v in map(parse_version, facts.locks) if v and now and v > now]
    change = (
        set_values(facts.file, {("prefect", "version"): str(max(newer))})
        if newer and not facts.file.environment.prefect.image
        else ""
    )
    mend = (
        "set prefect.version to the newer one, or restore a snapshot from before its migration"
        if facts.file.environment.database.backend == "sqlite"
        else "set prefect.version to the newer one, or use another database"
    )
    return Remedy(mend, change, (Command("apply", facts.name),))


def _address(facts: ServerFacts) -> Remedy:
    database = facts.file.environment.database
    name = facts.name
    if not isinstance(database, PostgresDatabase):
        return Remedy("its log says more", commands=(Command("logs", name),))
    secret = database.url_secret
    sources = {one.name: one.source.description for one in facts.file.environment.secrets}
    place = f" ({sources[secret]})" if secret in sources else ""
    return Remedy(
        f"correct the value of {secret} at its source{place}, or the database; the first command "
        "tries it from here, the second sets it",
        commands=(Command("doctor", name, "--database"), Command("apply", name)),
    )


def _port(facts: ServerFacts) -> Remedy:
    ports = [
        name
        for name in facts.file.environment.prefect.settings
        if name.upper() in {"PREFECT_SERVER_API_PORT", "PREFECT_SERVER_API_HOST"}
    ]
    if ports:
        return Remedy(
            f"{ports[0]} names another address than the one that Fly asks; remove it",
            remove_key(facts.file, ("prefect", "settings", ports[0])),
            (Command("apply", facts.name),),
        )
    return Remedy(
        "have the image's command listen on 0.0.0.0, port 4200, and not on 127.0.0.1",
        commands=(Command("logs", facts.name),),
    )


def _volume(facts: ServerFacts) -> Remedy:
    if is_filling(facts):
        return Remedy("see the finding about the volume")
    what, change = larger_volume(facts)
    return Remedy(what, change, (Command("apply", facts.name),) if change else ())


def _at_the_database(facts: ServerFacts) -> Remedy:
    return Remedy(
        "correct it in the database, then start the server again",
        commands=(Command("doctor", facts.name, "--database"), Command("wake", facts.name)),
    )


def _redis(facts: ServerFacts) -> Remedy:
    redis = facts.file.environment.redis
    secret = redis.url_secret if redis else "redis.url_secret"
    return Remedy(
        f"correct the Redis, or the value of {secret}", commands=(Command("apply", facts.name),)
    )


def _image(facts: ServerFacts) -> Remedy:
    return Remedy(
        "build and push the image again, then start the server",
        commands=(Command("image", facts.name, "--push"), Command("apply", facts.name)),
    )


_REMEDIES: dict[Fix, Callable[[ServerFacts], Remedy]] = {
    Fix.VERSION: _version,
    Fix.VOLUME: _volume,
    Fix.ADDRESS: _address,
    Fix.DATABASE: _at_the_database,
    Fix.MIGRATION: _at_the_database,
    Fix.REDIS: _redis,
    Fix.PORT: _port,
    Fix.IMAGE: _image,
}
