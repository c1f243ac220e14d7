"""Rules about more than one field of an environment.

Each rule is a function that yields (field path, message); `RULES` lists them. Rules that depend on a
version of Prefect are in `settings_rules` and `database_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from roost.environment.bucket import BUCKET_SECRETS, is_unencrypted
from roost.environment.job_variables import refused_source
from roost.environment.machine_memory import kind_and_cpus, memory_range
from roost.environment.model import (
    AUTH_SECRET,
    Environment,
    PostgresDatabase,
    Replicate,
    SqliteDatabase,
)
from roost.environment.yaml_source import Path

Finding = tuple[Path, str]
Rule = Callable[[Environment], Iterator[Finding]]

SUSPEND_LIMIT_MB = 2048
_CLIENT_IMAGE = re.compile(r"(^|/)prefecthq/prefect-client([:@]|$)")
SETTING = re.compile(r"PREFECT_[A-Z0-9_]+", re.ASCII)


def sqlite_is_one_machine(environment: Environment) -> Iterator[Finding]:
    """SQLite needs one machine: two servers on one file lose most writes, and a volume has one machine."""
    if environment.replicated:
        return  # `replicated_rules` refuses SQLite there
    if isinstance(environment.database, SqliteDatabase) and environment.scaling.count > 1:
        yield (
            ("scaling", "count"),
            "SQLite serves one machine; set count to 1",
        )


def a_volume_may_grow(environment: Environment) -> Iterator[Finding]:
    """The limit of an extension must be larger than the volume."""
    database = environment.database
    if not isinstance(database, SqliteDatabase) or database.extend is None:
        return
    if database.extend.limit_gb <= database.volume_gb:
        yield (
            ("database", "extend", "limit_gb"),
            f"limit_gb must be more than volume_gb, which is {database.volume_gb}",
        )


def postgres_is_one_machine(environment: Environment) -> Iterator[Finding]:
    """Postgres alone needs one machine too: leases and events are in one server's memory (measured)."""
    if environment.replicated:
        return
    if isinstance(environment.database, PostgresDatabase) and environment.scaling.count > 1:
        yield (
            ("scaling", "count"),
            (
                "several machines need a Redis between them: without one a concurrency lease taken "
                "on one machine is unknown to the others and its run crashes, and events reach only "
                "those who listen on the same one; set topology to replicated and name a Redis "
                "under redis, or set count to 1"
            ),
        )


def a_volume_needs_its_machine(environment: Environment) -> Iterator[Finding]:
    """A volume needs a machine: without one it costs money and serves nobody."""
    if isinstance(environment.database, SqliteDatabase) and environment.scaling.count == 0:
        yield (
            ("scaling", "count"),
            (
                "count 0 would leave the SQLite volume without a machine; "
                "keep count at 1: while it sleeps it costs next to nothing"
            ),
        )


def suspend_fits_memory(environment: Environment) -> Iterator[Finding]:
    """Suspending needs at most 2 GB of memory, which is Fly's limit."""
    if (
        environment.scaling.autostop == "suspend"
        and environment.machine.memory_mb > SUSPEND_LIMIT_MB
    ):
        yield (
            ("scaling", "autostop"),
            (
                f"Fly suspends machines of up to {SUSPEND_LIMIT_MB} MB; "
                "set autostop to stop, or lower machine.memory_mb"
            ),
        )


def memory_fits_size(environment: Environment) -> Iterator[Finding]:
    """The memory must be in the range of the size, which depends on its CPUs."""
    machine = environment.machine
    sold = memory_range(*kind_and_cpus(machine.size))
    if not sold.low <= machine.memory_mb <= sold.high:
        yield (
            ("machine", "memory_mb"),
            (
                f"{machine.size} takes {sold.low} to {sold.high} MB; "
                f"change memory_mb, or choose another size"
            ),
        )
    elif beyond := machine.memory_mb % sold.step:
        lower = machine.memory_mb - beyond
        yield (
            ("machine", "memory_mb"),
            (
                f"{machine.size} takes memory in steps of {sold.step} MB; "
                f"use {lower} or {lower + sold.step}"
            ),
        )


def prefect_fits_memory(environment: Environment) -> Iterator[Finding]:
    """Prefect needs more than 256 MB: its server alone uses about 200 MB (measured)."""
    if environment.machine.memory_mb < 512 and environment.prefect.image is None:  # noqa: PLR2004 - the next size up
        yield (
            ("machine", "memory_mb"),
            "a Prefect server needs about 200 MB for itself and is killed at 256; use 512",
        )


def an_image_has_a_server(environment: Environment) -> Iterator[Finding]:
    """The image must not be Prefect's client, which has no server."""
    if _CLIENT_IMAGE.search(environment.prefect.image or ""):
        yield (
            ("prefect", "image"),
            "prefect-client has no server in it; name an image of prefecthq/prefect, or none",
        )


def always_on_fits_count(environment: Environment) -> Iterator[Finding]:
    """No more machines can be kept running than there are."""
    scaling = environment.scaling
    if scaling.min_machines_running > scaling.count:
        yield (
            ("scaling", "min_machines_running"),
            (
                f"min_machines_running {scaling.min_machines_running} is more than count "
                f"{scaling.count}; raise count or lower it"
            ),
        )


def soft_limit_below_hard(environment: Environment) -> Iterator[Finding]:
    """The soft limit must not be above the hard limit."""
    concurrency = environment.scaling.concurrency
    if concurrency.soft_limit > concurrency.hard_limit:
        yield (
            ("scaling", "concurrency", "soft_limit"),
            (
                f"soft_limit {concurrency.soft_limit} is above hard_limit {concurrency.hard_limit}; "
                "lower it, or raise hard_limit"
            ),
        )


def idle_long_enough(environment: Environment) -> Iterator[Finding]:
    """The idle time must be from five seconds, so that a boot can end, to a week."""
    seconds = environment.scaling.idle_after.total_seconds()
    if not 5 <= seconds <= 7 * 86400:  # noqa: PLR2004 - five seconds to a week
        yield ("scaling", "idle_after"), "idle_after must be from 5s to 168h"


HEALTH_SECONDS = {"interval": (2, 600), "timeout": (1, 60), "grace_period": (1, 600)}
"""The least and the most seconds of each duration of Fly's check."""


def health_times_fit(environment: Environment) -> Iterator[Finding]:
    """The times of Fly's check must let it notice a server that fails, and one that starts."""
    for name, (least, most) in HEALTH_SECONDS.items():
        if not least <= getattr(environment.health, name).total_seconds() <= most:
            yield ("health", name), f"{name} must be from {least}s to {most}s"


def one_machine_is_adopted(environment: Environment) -> Iterator[Finding]:
    """A machine that is adopted becomes the only one of a server."""
    if environment.adopt is None:
        return
    if environment.replicated or environment.scaling.count != 1:
        yield (
            ("adopt",),
            (
                "adopt takes over the one machine of a server with topology single and count 1; "
                "apply that first, then change topology or count"
            ),
        )


def public_means_guarded(environment: Environment) -> Iterator[Finding]:
    """A public server needs a login: anybody could run code on its workers."""
    if environment.access.public and environment.access.auth == "none":
        yield (
            ("access", "auth"),
            (
                "a public server without a login lets anybody run flows; "
                "set auth to basic, or public to false"
            ),
        )


def auth_has_its_secret(environment: Environment) -> Iterator[Finding]:
    """Basic auth and its secret need each other: the secret switches it on."""
    declared = any(secret.name == AUTH_SECRET for secret in environment.secrets)
    if environment.access.auth == "basic" and not declared:
        yield ("secrets",), f"auth: basic needs the secret {AUTH_SECRET}; add it to secrets"
    if environment.access.auth == "none" and declared:
        yield (
            ("access", "auth"),
            f"the secret {AUTH_SECRET} would switch the login on; set auth to basic or remove it",
        )


def postgres_has_its_secret(environment: Environment) -> Iterator[Finding]:
    """The secret of the connection URL must be declared; its name is not shown, it may be the URL."""
    database = environment.database
    if isinstance(database, PostgresDatabase) and not any(
        secret.name == database.url_secret for secret in environment.secrets
    ):
        yield (
            ("database", "url_secret"),
            "names a secret that is not in secrets; add it there, its value is the connection URL",
        )


def replica_of(environment: Environment) -> Replicate | None:
    """Return the copy of the database that an environment configures, if any."""
    database = environment.database
    return database.replicate if isinstance(database, SqliteDatabase) else None


def replica_has_its_keys(environment: Environment) -> Iterator[Finding]:
    """A copy needs the access keys of its bucket, as secrets with the names that Litestream reads."""
    declared = {secret.name for secret in environment.secrets}
    missing = [name for name in BUCKET_SECRETS if name not in declared]
    if replica_of(environment) and missing:
        yield (
            ("database", "replicate"),
            (
                f"replicate needs {_named(missing)}; "
                f"add {'it' if len(missing) == 1 else 'them'} to secrets, "
                "with the key of the bucket as value"
            ),
        )


def replica_needs_our_image(environment: Environment) -> Iterator[Finding]:
    """A copy needs our image, which contains Litestream."""
    if replica_of(environment) and environment.prefect.image is not None:
        yield (
            ("database", "replicate"),
            "Litestream is in roost's own image only; remove prefect.image, or replicate",
        )


def replica_is_private_on_its_way(environment: Environment) -> Iterator[Finding]:
    """A copy must be encrypted in transit: it contains all data, and the key of the server's blocks."""
    replica = replica_of(environment)
    if replica and is_unencrypted(replica.endpoint):
        yield (
            ("database", "replicate", "endpoint"),
            "the database would be sent unencrypted; write https://",
        )


def replica_is_paid_by_request(environment: Environment) -> Iterator[Finding]:
    """A copy needs an interval from a second to an hour: requests cost money, and data may be lost."""
    replica = replica_of(environment)
    if replica and not 1 <= replica.sync_interval.total_seconds() <= 3600:  # noqa: PLR2004 - a second to an hour
        yield ("database", "replicate", "sync_interval"), "sync_interval must be from 1s to 1h"


def _named(names: list[str]) -> str:
    noun = "the secret" if len(names) == 1 else "the secrets"
    return f"{noun} {' and '.join(names)}"


def secrets_once(environment: Environment) -> Iterator[Finding]:
    """Each secret is listed once."""
    seen: set[str] = set()
    for index, secret in enumerate(environment.secrets):
        if secret.name in seen:
            yield ("secrets", index), f"{secret.name} is listed twice; keep one"
        seen.add(secret.name)


def sources_are_not_the_job_s(environment: Environment) -> Iterator[Finding]:
    """No secret may come from a credential of the job that deploys it."""
    replicates = replica_of(environment) is not None
    for index, secret in enumerate(environment.secrets):
        if message := refused_source(secret, replicates=replicates):
            yield ("secrets", index, "from", "env"), message


def object_secrets_fit(environment: Environment) -> Iterator[Finding]:
    """The secrets of blocks are listed once, and never come from a credential of the job."""
    own = {secret.name: secret.source for secret in environment.secrets}
    seen: set[str] = set()
    for index, secret in enumerate(environment.prefect.object_secrets):
        path: Path = ("prefect", "object_secrets", index)
        if secret.name in seen:
            yield path, f"{secret.name} is listed twice; keep one"
        elif own.get(secret.name, secret.source) != secret.source:
            yield path, f"{secret.name} has another source under secrets; choose another name here"
        if message := refused_source(secret, replicates=False):
            yield (*path, "from", "env"), message
        seen.add(secret.name)
    if environment.prefect.object_secrets and environment.prefect.objects is None:
        yield (
            ("prefect", "object_secrets"),
            "object_secrets are for the blocks of a file; add objects",
        )


def settings_are_settings(environment: Environment) -> Iterator[Finding]:
    """Settings need names and values of variables; `settings_rules` checks their meaning."""
    for name, value in environment.prefect.settings.items():
        path = ("prefect", "settings", name)
        if not SETTING.fullmatch(name):
            yield path, _not_prefect(name)
        elif "\0" in value:
            yield path, f"{name} has a NUL character, which no environment variable can have"


def _not_prefect(name: str) -> str:
    message = f"{name} is not a Prefect setting; they begin with PREFECT_, in capitals"
    if name.upper().startswith("PREFECT"):
        return message
    return f"{message}. Write it under environment; a secret one under secrets"


def ignored_is_known(environment: Environment) -> Iterator[Finding]:
    """Each ignored field must exist: a rule that matches nothing would hide a mistake."""
    seen: set[str] = set()
    for index, rule in enumerate(environment.drift.ignore):
        path = ("drift", "ignore", index, "field")
        setting = rule.field.removeprefix("env.")
        if rule.field in seen:
            yield path, f"{rule.field} is listed twice; keep one"
        elif setting != rule.field and setting not in environment.prefect.settings:
            yield path, f"{setting} is not under prefect.settings; add it there, or remove the rule"
        elif rule.field.startswith("volume.") and isinstance(
            environment.database, PostgresDatabase
        ):
            yield path, f"{rule.field}: a server with postgres has no volume; remove the rule"
        seen.add(rule.field)


RULES: tuple[Rule, ...] = (
    sqlite_is_one_machine,
    postgres_is_one_machine,
    a_volume_needs_its_machine,
    a_volume_may_grow,
    suspend_fits_memory,
    memory_fits_size,
    prefect_fits_memory,
    an_image_has_a_server,
    always_on_fits_count,
    soft_limit_below_hard,
    idle_long_enough,
    health_times_fit,
    one_machine_is_adopted,
    public_means_guarded,
    auth_has_its_secret,
    postgres_has_its_secret,
    replica_has_its_keys,
    replica_needs_our_image,
    replica_is_private_on_its_way,
    replica_is_paid_by_request,
    secrets_once,
    sources_are_not_the_job_s,
    object_secrets_fit,
    settings_are_settings,
    ignored_is_known,
)


def findings(environment: Environment, rules: Iterable[Rule] = ()) -> Iterator[Finding]:
    """Return what rules find, in their order: those of this module where none are given."""
    for rule in rules or RULES:
        yield from rule(environment)
