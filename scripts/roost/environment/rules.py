"""Rules that look at more than one field, or at more than one file.

Each rule is one function that yields (field path, message); `RULES` lists them. Those that need to
know what a version of Prefect takes stand in `settings_rules` and `database_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from roost.environment.job_variables import refused_source
from roost.environment.model import (
    AUTH_SECRET,
    BUCKET_SECRETS,
    Environment,
    PostgresDatabase,
    Replicate,
    SqliteDatabase,
)
from roost.environment.yaml_source import Path

Finding = tuple[Path, str]
Rule = Callable[[Environment], Iterator[Finding]]

SUSPEND_LIMIT_MB = 2048
SHARED_MB = (256, 2048)  # per virtual CPU: facts of Fly's machine sizing page
PERFORMANCE_MB = (2048, 8192)
PERFORMANCE_STEP_MB = (
    1024  # flyctl refuses what lies between; of shared ones all steps of 256 are sold
)
# Networks that are one's own: this computer, and Fly's between the machines of an organization.
_OWN_NETWORK = re.compile(
    r"http://(127\.0\.0\.1|localhost|.+\.(internal|flycast))(:\d+)?", re.ASCII
)
_CLIENT_IMAGE = re.compile(r"(^|/)prefecthq/prefect-client([:@]|$)")
SETTING = re.compile(r"PREFECT_[A-Z0-9_]+", re.ASCII)


def sqlite_is_one_machine(environment: Environment) -> Iterator[Finding]:
    """Two servers on one SQLite file lose most writes, and a volume serves one machine."""
    if isinstance(environment.database, SqliteDatabase) and environment.scaling.count > 1:
        yield (
            ("scaling", "count"),
            "SQLite serves one machine; set count to 1",
        )


def a_volume_may_grow(environment: Environment) -> Iterator[Finding]:
    """A limit that is no larger than the volume extends nothing."""
    database = environment.database
    if not isinstance(database, SqliteDatabase) or database.extend is None:
        return
    if database.extend.limit_gb <= database.volume_gb:
        yield (
            ("database", "extend", "limit_gb"),
            f"limit_gb must be more than volume_gb, which is {database.volume_gb}",
        )


def postgres_is_one_machine(environment: Environment) -> Iterator[Finding]:
    """Leases and events live in the memory of a server, where no other one looks (measured)."""
    if isinstance(environment.database, PostgresDatabase) and environment.scaling.count > 1:
        yield (
            ("scaling", "count"),
            (
                "several machines need a Redis between them, which roost does not set up yet: a "
                "concurrency lease taken on one is unknown to the others and its run crashes, and "
                "events reach only those who listen on the same one; set count to 1, and choose a "
                "larger machine.size for more load"
            ),
        )


def a_volume_needs_its_machine(environment: Environment) -> Iterator[Finding]:
    """A volume without a machine costs money and serves nobody."""
    if isinstance(environment.database, SqliteDatabase) and environment.scaling.count == 0:
        yield (
            ("scaling", "count"),
            (
                "count 0 would leave the SQLite volume without a machine; "
                "keep count at 1: asleep it costs next to nothing"
            ),
        )


def suspend_fits_memory(environment: Environment) -> Iterator[Finding]:
    """Fly suspends machines of up to 2 GB."""
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
    """Fly sells memory by the CPU."""
    machine = environment.machine
    cpus = int(machine.size.rsplit("-", 1)[1].removesuffix("x"))
    low, high = SHARED_MB if machine.size.startswith("shared") else PERFORMANCE_MB
    if not cpus * low <= machine.memory_mb <= cpus * high:
        yield (
            ("machine", "memory_mb"),
            (
                f"{machine.size} takes {cpus * low} to {cpus * high} MB; "
                f"change memory_mb, or choose another size"
            ),
        )
    elif machine.size.startswith("performance") and machine.memory_mb % PERFORMANCE_STEP_MB:
        lower = machine.memory_mb - machine.memory_mb % PERFORMANCE_STEP_MB
        yield (
            ("machine", "memory_mb"),
            (
                f"{machine.size} takes memory in steps of {PERFORMANCE_STEP_MB} MB; "
                f"use {lower} or {lower + PERFORMANCE_STEP_MB}"
            ),
        )


def prefect_fits_memory(environment: Environment) -> Iterator[Finding]:
    """The server alone needs about 200 MB; 256 leaves the kernel nothing (measured)."""
    if environment.machine.memory_mb < 512 and environment.prefect.image is None:  # noqa: PLR2004 - the next size up
        yield (
            ("machine", "memory_mb"),
            "a Prefect server needs about 200 MB for itself and is killed at 256; use 512",
        )


def an_image_has_a_server(environment: Environment) -> Iterator[Finding]:
    """The client's image lacks what a server needs."""
    if _CLIENT_IMAGE.search(environment.prefect.image or ""):
        yield (
            ("prefect", "image"),
            "prefect-client has no server in it; name an image of prefecthq/prefect, or none",
        )


def always_on_fits_count(environment: Environment) -> Iterator[Finding]:
    """More machines cannot run than there are."""
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
    """The proxy prefers another machine before it makes anybody wait."""
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
    """A server that sleeps between two clicks is a nuisance; one that boots never stays up."""
    seconds = environment.scaling.idle_after.total_seconds()
    if not 5 <= seconds <= 7 * 86400:  # noqa: PLR2004 - five seconds to a week
        yield ("scaling", "idle_after"), "idle_after must be from 5s to 168h"


def public_means_guarded(environment: Environment) -> Iterator[Finding]:
    """Whoever reaches an open Prefect server can run code where its workers are."""
    if environment.access.public and environment.access.auth == "none":
        yield (
            ("access", "auth"),
            (
                "a public server without a login lets anybody run flows; "
                "set auth to basic, or public to false"
            ),
        )


def auth_has_its_secret(environment: Environment) -> Iterator[Finding]:
    """Basic auth is switched on by its secret."""
    declared = any(secret.name == AUTH_SECRET for secret in environment.secrets)
    if environment.access.auth == "basic" and not declared:
        yield ("secrets",), f"auth: basic needs the secret {AUTH_SECRET}; add it to secrets"
    if environment.access.auth == "none" and declared:
        yield (
            ("access", "auth"),
            f"the secret {AUTH_SECRET} would switch the login on; set auth to basic or remove it",
        )


def postgres_has_its_secret(environment: Environment) -> Iterator[Finding]:
    """The connection URL holds a password; what stands in the name's place may be one, and is not shown."""
    database = environment.database
    if isinstance(database, PostgresDatabase) and not any(
        secret.name == database.url_secret for secret in environment.secrets
    ):
        yield (
            ("database", "url_secret"),
            "names a secret that is not in secrets; add it there, its value is the connection URL",
        )


def replica_of(environment: Environment) -> Replicate | None:
    """Return where the database is copied to, if anywhere."""
    database = environment.database
    return database.replicate if isinstance(database, SqliteDatabase) else None


def replica_has_its_keys(environment: Environment) -> Iterator[Finding]:
    """Litestream reads them by these names, and a bucket that takes anybody's data is none."""
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
    """Who copies the database stands in our image."""
    if replica_of(environment) and environment.prefect.image is not None:
        yield (
            ("database", "replicate"),
            "Litestream is in roost's own image only; remove prefect.image, or replicate",
        )


def replica_is_private_on_its_way(environment: Environment) -> Iterator[Finding]:
    """The copy holds all that the server knows, and the key to its blocks."""
    replica = replica_of(environment)
    endpoint = (replica and replica.endpoint) or ""
    if endpoint.startswith("http://") and not _OWN_NETWORK.fullmatch(endpoint):
        yield (
            ("database", "replicate", "endpoint"),
            "the database would travel in clear; write https://",
        )


def replica_is_paid_by_request(environment: Environment) -> Iterator[Finding]:
    """Below a second Litestream asks without end; above an hour a snapshot does as well."""
    replica = replica_of(environment)
    if replica and not 1 <= replica.sync_interval.total_seconds() <= 3600:  # noqa: PLR2004 - a second to an hour
        yield ("database", "replicate", "sync_interval"), "sync_interval must be from 1s to 1h"


def _named(names: list[str]) -> str:
    noun = "the secret" if len(names) == 1 else "the secrets"
    return f"{noun} {' and '.join(names)}"


def secrets_once(environment: Environment) -> Iterator[Finding]:
    """One name, one value."""
    seen: set[str] = set()
    for index, secret in enumerate(environment.secrets):
        if secret.name in seen:
            yield ("secrets", index), f"{secret.name} is listed twice; keep one"
        seen.add(secret.name)


def sources_are_not_the_job_s(environment: Environment) -> Iterator[Finding]:
    """A file cannot hand a credential of the job that deploys it to the server."""
    replicates = replica_of(environment) is not None
    for index, secret in enumerate(environment.secrets):
        if message := refused_source(secret, replicates=replicates):
            yield ("secrets", index, "from", "env"), message


def settings_are_settings(environment: Environment) -> Iterator[Finding]:
    """Settings become variables of the process; what Prefect makes of them is in `settings_rules`."""
    for name, value in environment.prefect.settings.items():
        path = ("prefect", "settings", name)
        if not SETTING.fullmatch(name):
            yield path, _not_prefect(name)
        elif "\0" in value:
            yield path, f"{name} holds a NUL character, which no environment variable can"


def _not_prefect(name: str) -> str:
    told = f"{name} is not a Prefect setting; they begin with PREFECT_, in capitals"
    if name.upper().startswith("PREFECT"):
        return told
    return (
        f"{told}. List it under secrets, which are variables of the server too, with a variable of "
        f"your own as the source: {{name: {name}, from: {{env: ACME_{name}}}}}"
    )


def ignored_is_known(environment: Environment) -> Iterator[Finding]:
    """A rule that can match nothing is a slip, and hides that the difference is not ignored."""
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
    public_means_guarded,
    auth_has_its_secret,
    postgres_has_its_secret,
    replica_has_its_keys,
    replica_needs_our_image,
    replica_is_private_on_its_way,
    replica_is_paid_by_request,
    secrets_once,
    sources_are_not_the_job_s,
    settings_are_settings,
    ignored_is_known,
)


def findings(environment: Environment) -> Iterator[Finding]:
    """Return what every rule finds, in the order of the rules."""
    for rule in RULES:
        yield from rule(environment)
