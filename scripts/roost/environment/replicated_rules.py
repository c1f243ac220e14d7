"""Rules for `topology: replicated`: what it needs, and what has no meaning with several machines."""

from __future__ import annotations

from collections.abc import Iterator

from roost.environment.extras import ExtraError, parse_extra
from roost.environment.flow_units import LONGEST_APP
from roost.environment.model import Environment, PostgresDatabase, SqliteDatabase
from roost.environment.redis import OF_MANAGED, PASSWORD, Redis
from roost.environment.redis_unit import redis_app, redis_environment
from roost.environment.rules import Finding, Rule, memory_fits_size

PACKAGE = "prefect-redis"
LEAST = 2
VOLUME_PER_MEMORY = 2
"""Data has half of the memory, and its file can be four times as large while it is rewritten."""


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
                "several machines share events, leases and schedules through a Redis; let roost deploy "
                "one: redis: {managed: true}; or name the secret with the address of yours: redis: "
                "{url_secret: REDIS_URL}"
            ),
        )


def its_redis_is_one(environment: Environment) -> Iterator[Finding]:
    """A Redis is deployed by Roost, or runs somewhere else under the address of a secret."""
    redis = environment.redis
    if redis is None:
        return
    if redis.managed and redis.url_secret is not None:
        yield (
            ("redis", "url_secret"),
            "names a Redis elsewhere, and redis.managed deploys one; remove one of the two",
        )
    elif redis.managed:
        yield from _managed(environment, redis)
    elif redis.url_secret is None:
        yield (
            ("redis",),
            (
                "says of no Redis; let roost deploy one: {managed: true}; or name the secret with the "
                "address of yours: {url_secret: REDIS_URL}"
            ),
        )
    else:
        yield from _elsewhere(environment, redis, redis.url_secret)


def _elsewhere(environment: Environment, redis: Redis, url_secret: str) -> Iterator[Finding]:
    for name in sorted(OF_MANAGED & redis.model_fields_set):
        yield (
            ("redis", name),
            f"is of a Redis that roost deploys; remove {name}, or set redis.managed to true",
        )
    if not environment.replicated:
        return
    if not any(secret.name == url_secret for secret in environment.secrets):
        # The name is not shown, as it may be the address itself.
        yield (
            ("redis", "url_secret"),
            "names a secret that is not in secrets; add it there, its value is the Redis's address",
        )
    elif _is_the_database(environment, url_secret):
        yield (
            ("redis", "url_secret"),
            "names the secret of the database; give the Redis's address a secret of its own",
        )


def _managed(environment: Environment, redis: Redis) -> Iterator[Finding]:
    """Yield what is wrong with a Redis that Roost deploys."""
    app = redis_app(environment.app)
    if len(app) > LONGEST_APP:
        yield (
            ("redis", "managed"),
            f"the app {app} would have more than {LONGEST_APP} characters; shorten app",
        )
        return
    if not any(secret.name == PASSWORD for secret in environment.secrets):
        yield (
            ("redis", "managed"),
            f"a Redis that roost deploys has a password: add {PASSWORD} to secrets, with a long random value",
        )
    derived = redis_environment(environment, redis)
    yield from ((("redis", *path), message) for path, message in memory_fits_size(derived))
    if redis.volume_gb * 1024 < VOLUME_PER_MEMORY * redis.machine.memory_mb:
        yield (
            ("redis", "volume_gb"),
            (
                f"the file of a Redis with {redis.machine.memory_mb} MB of memory grows to "
                f"{VOLUME_PER_MEMORY} times as much while it is rewritten; set volume_gb to "
                f"{-(-VOLUME_PER_MEMORY * redis.machine.memory_mb // 1024)} or more"
            ),
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


def its_regions_have_machines(environment: Environment) -> Iterator[Finding]:
    """Machines for the API may be in several regions, and one of them is that of everything else."""
    regions, where = environment.scaling.regions, ("scaling", "regions")
    if not regions:
        return
    if not environment.replicated:
        yield (where, "one machine is in one region; remove regions, or set topology to replicated")
        return
    twice = sorted({each for each in regions if regions.count(each) > 1})
    if twice:
        yield (
            where,
            f"has {', '.join(twice)} more than once; count says how many machines there are",
        )
    elif environment.region not in regions:
        yield (
            where,
            (
                f"does not have {environment.region}, where the services' machine is; add it, or change "
                "region"
            ),
        )
    elif len(regions) > environment.scaling.count:
        yield (
            where,
            (
                f"has {len(regions)} regions for {environment.scaling.count} machines; set count to "
                f"{len(regions)} or more"
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
    its_redis_is_one,
    its_image_has_the_package,
    it_has_several_machines,
    its_regions_have_machines,
    it_does_not_sleep,
    nothing_waits_for_its_sleep,
)
