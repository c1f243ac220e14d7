"""Rules for `topology: replicated`: what it needs, and what has no meaning with several machines."""

from __future__ import annotations

from collections.abc import Iterator

from roost.environment.extras import ExtraError, parse_extra
from roost.environment.model import Environment, PostgresDatabase, SqliteDatabase
from roost.environment.rules import Finding, Rule

PACKAGE = "prefect-redis"
LEAST = 2


def redis_is_for_replicas(environment: Environment) -> Iterator[Finding]:
    """A server of one machine has no use for a Redis."""
    if environment.redis is not None and not environment.replicated:
        yield (
            ("redis",),
            "one machine needs no Redis; remove redis, or set topology to replicated",
        )


def it_has_what_machines_share(environment: Environment) -> Iterator[Finding]:
    """Several machines need one database and one Redis that all of them reach."""
    if not environment.replicated:
        return
    if isinstance(environment.database, SqliteDatabase):
        yield (
            ("topology",),
            (
                "several machines cannot share SQLite, which is on the volume of one; set "
                "database.backend to postgres, or topology to single"
            ),
        )
    if environment.redis is None:
        yield (
            ("topology",),
            (
                "several machines share events, leases and schedules through a Redis; name the secret "
                "with its address as redis: {url_secret: REDIS_URL}"
            ),
        )
    elif not any(secret.name == environment.redis.url_secret for secret in environment.secrets):
        # The name is not shown, as it may be the address itself.
        yield (
            ("redis", "url_secret"),
            "names a secret that is not in secrets; add it there, its value is the Redis's address",
        )
    elif _is_the_database(environment, environment.redis.url_secret):
        yield (
            ("redis", "url_secret"),
            "names the secret of the database; give the Redis's address a secret of its own",
        )


def _is_the_database(environment: Environment, name: str) -> bool:
    database = environment.database
    return isinstance(database, PostgresDatabase) and database.url_secret == name


def its_image_has_the_package(environment: Environment) -> Iterator[Finding]:
    """Prefect reaches Redis by a package of its own, from the environment's lock."""
    if not environment.replicated:
        return
    if environment.prefect.image is not None:
        yield (
            ("prefect", "image"),
            "topology replicated is set up by roost's own image; remove prefect.image",
        )
    elif PACKAGE not in _packages(environment):
        yield (
            ("prefect", "extras"),
            (
                f"topology replicated needs {PACKAGE} in the image; add it to prefect.extras, then "
                "lock it: ./run lock --server NAME"
            ),
        )


def _packages(environment: Environment) -> Iterator[str]:
    for entry in environment.prefect.extras:
        try:
            yield parse_extra(entry).name
        except ExtraError:
            continue  # `extras_are_packages` reports it


def it_has_several_machines(environment: Environment) -> Iterator[Finding]:
    """With one machine for the API, nothing serves while it is changed or away."""
    if environment.replicated and environment.scaling.count < LEAST:
        yield (
            ("scaling", "count"),
            (
                "topology replicated needs 2 or more machines for the API; set count to 2, or topology "
                "to single"
            ),
        )


def it_does_not_sleep(environment: Environment) -> Iterator[Finding]:
    """Its services must run for schedules to fire, and each machine asks the Redis every second."""
    scaling = environment.scaling
    if not environment.replicated:
        return
    if scaling.autostop != "off":
        yield (
            ("scaling", "autostop"),
            (
                "a replicated server does not sleep: its services run the schedules, and wait at the "
                "Redis; set autostop to off, or topology to single"
            ),
        )
    if scaling.windows:
        yield (
            ("scaling", "windows"),
            "a replicated server does not sleep, so it needs no windows; remove windows",
        )


def nothing_waits_for_its_sleep(environment: Environment) -> Iterator[Finding]:
    """Flow servers and the waker work with a server of one machine, which watches them."""
    if not environment.replicated:
        return
    if environment.flows:
        yield (
            ("flows",),
            (
                "flow servers need a server of one machine, which watches and wakes them; run flows by "
                "workers of your own, or set topology to single"
            ),
        )
    if environment.waker is not None:
        yield (
            ("waker",),
            (
                "a replicated server does not sleep, so nothing has to wake it; write waker: null, or "
                "deploy the waker with another environment"
            ),
        )


REPLICATED_RULES: tuple[Rule, ...] = (
    redis_is_for_replicas,
    it_has_what_machines_share,
    its_image_has_the_package,
    it_has_several_machines,
    it_does_not_sleep,
    nothing_waits_for_its_sleep,
)
