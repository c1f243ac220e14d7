"""What the facts about a Postgres database mean for Prefect: findings with their next step. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roost.doctor.check import Check, missing, ok, unknown
from roost.doctor.database_distance import FAR_KM, KM_PER_MS, cloud_region, kilometres, nearest
from roost.doctor.database_facts import Facts, Limits, Outcome, Pooling, Reach
from roost.doctor.database_refusals import Place
from roost.environment.model import Environment
from roost.errors.command import Command
from roost.plan.database_address import Provider, better_address, is_local, quoted
from roost.plan.replicas import slots_of

OLDEST = 130000
"""The first PostgreSQL with `gen_random_uuid`, which Prefect's migrations use."""
CLOCK_S = 5.0
SLOW_S = 0.05
POOL = "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE"
OVERFLOW = "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW"
_SHORT = "PREFECT_SERVER_DATABASE_"
SUPABASE_CLIENTS = 15
"""What Supabase's session pooler admits on its smallest computes (EMAXCONNSESSION, pool_size: 15)."""
_UNREACHED = frozenset({Outcome.NO_NAME, Outcome.NO_ROUTE, Outcome.TIMEOUT})
_LEAST = 3  # a pool of two, and the connection for notifications


@dataclass(frozen=True)
class Need:
    """The connections that an environment's servers open.

    Args:
        machines: how many servers.
        pool: connections that each keeps.
        overflow: connections that each may open beside them.
    """

    machines: int
    pool: int
    overflow: int

    @property
    def most(self) -> int:
        """All connections at once: each server has another one for notifications."""
        return self.machines * (self.pool + self.overflow + 1)

    @property
    def text(self) -> str:
        """The sum, for people."""
        servers = "one server" if self.machines == 1 else f"each of {self.machines} servers"
        return f"{servers} opens up to {self.pool} + {self.overflow} + 1, {self.most} in all"


def need_of(environment: Environment) -> Need:
    """Return the connections that an environment's servers open, with Prefect's defaults."""
    settings = {name.upper(): text for name, text in environment.prefect.settings.items()}
    pool = _number(settings, POOL, 5)
    servers = len(slots_of(environment.scaling.count, replicated=environment.replicated))
    return Need(max(1, servers), pool, _number(settings, OVERFLOW, 10))


def _number(settings: Mapping[str, str], name: str, default: int) -> int:
    other = name.replace(_SHORT, "PREFECT_")
    text = settings.get(name) or settings.get(other) or ""
    return int(text) if text.isdecimal() else default


def reach_finding(place: Place, found: Reach) -> Check:
    """Return whether the way to a host and port is open."""
    host, name = place.host, place.environment
    if found.outcome is Outcome.ANSWERS:
        tls = {True: "with TLS", False: "without TLS", None: "TLS not answered"}[found.has_tls]
        return ok(f"{host.text} answers after {found.seconds * 1000:.0f} ms, {tls}", name)
    if host.is_fly_private and found.outcome in _UNREACHED:
        return unknown(
            f"{host.text} is in Fly's private network, and this computer is not ({found.words})",
            "join the network (fly wireguard create) and run this again; an apply tests a new address "
            f"from Fly itself: {Command('apply', name).typed}",
            name,
        )
    if found.outcome is Outcome.NO_ROUTE and found.only_ipv6:
        return unknown(
            f"{_at(place, found)} has IPv6 addresses only, and this computer has no IPv6 ({found.words}); "
            "machines on Fly do",
            _for_ipv4(place),
            name,
        )
    return missing(*_closed(place, found), name)


def _closed(place: Place, found: Reach) -> tuple[str, str]:
    """Return what is closed, and the next step."""
    host, secret = place.host, place.secret
    if found.outcome is Outcome.NO_NAME:
        is_supabase = host.provider is Provider.SUPABASE
        paused = "; Supabase removes the name of a paused project" if is_supabase else ""
        resume = "resume the project in Supabase's dashboard, or " if is_supabase else ""
        what = f"the name {host.name} is not found ({found.words}){paused}"
        return what, f"{resume}copy the host again into {secret}"
    if found.outcome is Outcome.REFUSED:
        return (
            f"{_at(place, found)} refuses connections on port {host.port} ({found.words})",
            (
                "start the database, have it listen on that address (listen_addresses), or correct the port "
                f"in {secret}"
            ),
        )
    if found.outcome is Outcome.OTHER_PROTOCOL:
        said = "closes the connection" if found.words == "b''" else f"answers {found.words}"
        return (
            f"{host.text} is no PostgreSQL: it {said} where PostgreSQL says whether it has TLS",
            f"correct the port in {secret}; a proxy that closes has no database behind it",
        )
    return (
        f"{_at(place, found)} does not answer on port {host.port} ({found.words})",
        "open its firewall for that port, also for the addresses that your machines on Fly send from",
    )


def _at(place: Place, found: Reach) -> str:
    same = found.addresses == (place.host.name,)
    return place.host.name if same else f"{place.host.name} ({', '.join(found.addresses)})"


def _for_ipv4(place: Place) -> str:
    if place.host.provider is Provider.SUPABASE:
        return "to check it from here, run this with the string of Supabase's session pooler, which has IPv4"
    return "run this on a computer with IPv6, or use an address of the database with IPv4"


def findings(
    place: Place, reached: Reach, facts: Facts, environment: Environment
) -> Iterator[Check]:
    """Return what the facts mean, the most important first."""
    yield _login(place, reached, facts)
    if facts.read_only:
        yield missing(
            f"{place.host.text} takes no writes: {facts.read_only}",
            f"put the address of the primary into {place.secret}, or end the read-only mode",
            place.environment,
        )
    else:
        yield _tables(place, facts)
        yield _extension(place, facts)
    yield _pooler(place, facts)
    yield from _connections(place, facts, need_of(environment))
    yield from _latency(place, facts, environment.region)
    yield _clock(place, facts)


def _login(place: Place, reached: Reach, facts: Facts) -> Check:
    name, address = place.environment, place.address
    who = f"{address.user} is logged in to {address.database}, PostgreSQL {facts.version}"
    if facts.number < OLDEST:
        return missing(
            f"{who}: Prefect needs PostgreSQL {OLDEST // 10000} at least",
            "upgrade the server, or create the database on a newer one",
            name,
        )
    encrypted = address.mode not in {"disable", "allow"} and (
        address.mode != "prefer" or reached.has_tls is True
    )
    if encrypted:
        return ok(f"{who}, encrypted (sslmode {address.mode})", name)
    if all(map(is_local, reached.addresses)) or place.host.is_fly_private:
        return ok(f"{who}, in a private network and not encrypted", name)
    step = f"add ?sslmode=require to {place.secret}"
    if reached.has_tls is False:
        step = f"turn TLS on at the server (ssl = on), then {step}"
    return missing(
        f"{who}, and not encrypted: all rows cross the internet in the clear", step, name
    )


def _tables(place: Place, facts: Facts) -> Check:
    name, user, schema = place.environment, quoted(place.address.user), facts.schema
    if not schema.name:
        return missing(
            f"the search path of {place.address.user} names no schema that is there",
            f"as an administrator: ALTER ROLE {user} SET search_path = public",
            name,
        )
    if schema.refusal:
        return missing(
            f"{place.address.user} may not create tables in the schema {schema.name}: {schema.refusal}",
            f"as its owner: GRANT CREATE, USAGE ON SCHEMA {quoted(schema.name)} TO {user}",
            name,
        )
    if schema.owner and not schema.has_prefect:
        return missing(
            f"another program keeps its migrations in the schema {schema.name} (alembic_version, of {schema.owner})",
            f"use a database of its own: CREATE DATABASE prefect OWNER {user}",
            name,
        )
    if not schema.is_owner:
        return missing(
            f"Prefect's tables belong to {schema.owner}, so {place.address.user} cannot change them at an upgrade",
            f"as {schema.owner}: GRANT {quoted(schema.owner)} TO {user}; or log in as {schema.owner}",
            name,
        )
    there = (
        "Prefect's tables are there" if schema.has_prefect else "no table of Prefect's is there yet"
    )
    return ok(f"{place.address.user} may create tables in the schema {schema.name}; {there}", name)


def _extension(place: Place, facts: Facts) -> Check:
    name, schema = place.environment, facts.schema
    if schema.extension_refusal:
        return missing(
            f"the extension pg_trgm is not there, and {place.address.user} may not create it: {schema.extension_refusal}",
            f"as an administrator, in {place.address.database}: CREATE EXTENSION pg_trgm",
            name,
        )
    if schema.extension and not schema.extension_visible:
        return missing(
            f"the extension pg_trgm is in the schema {schema.extension}, which the search path does not have",
            f"as an administrator: ALTER EXTENSION pg_trgm SET SCHEMA {quoted(schema.name or 'public')}",
            name,
        )
    return ok(f"the extension pg_trgm {'is there' if schema.extension else 'may be created'}", name)


def _pooler(place: Place, facts: Facts) -> Check:
    name, host = place.environment, place.host
    if facts.pooling is Pooling.TRANSACTION or host.is_transaction_pooler:
        how = (
            "two connections share a session of PostgreSQL"
            if facts.pooling is Pooling.TRANSACTION
            else f"{host.provider.value} has it at this host and port"
        )
        return missing(
            f"{host.text} is a pooler in transaction mode: {how}. Prefect works behind it without notifications "
            "and without prepared statements, and no lock keeps two servers from migrating at once",
            better_address(host),
            name,
        )
    if facts.pooling is Pooling.FULL:
        return missing(
            f"{host.text} gave one connection and no second one: there is none free",
            "end idle sessions, or raise the limit of the role, the database or the pooler",
            name,
        )
    return ok("each connection has a session of its own", name)


def _connections(place: Place, facts: Facts, need: Need) -> Iterator[Check]:
    name, limits = place.environment, facts.limits
    if place.host.provider is Provider.SUPABASE_POOLER and not place.host.is_transaction_pooler:
        if need.most > SUPABASE_CLIENTS:
            yield unknown(
                f"Supabase's session pooler admits as many clients as its pool size, which it does not show; {need.text}",
                f"in Supabase, Database Settings: see the pool size; for {SUPABASE_CLIENTS}, "
                f"{_smaller(SUPABASE_CLIENTS, need)}",
                name,
            )
        return
    if limits.capacity >= need.most:
        yield ok(f"the server takes {limits.capacity} connections; {need.text}", name)
        return
    yield missing(
        f"the server takes {limits.capacity} connections ({_bounds(limits)}), and {need.text}",
        f"raise that limit to {need.most} at least, or {_smaller(limits.capacity, need)}",
        name,
    )


def _bounds(limits: Limits) -> str:
    parts = [f"max_connections without reserved ones: {limits.most}"]
    parts += [f"others have {limits.others}"] if limits.others else []
    parts += [f"the user's limit: {limits.of_role}"] if limits.of_role >= 0 else []
    parts += [f"the database's limit: {limits.of_database}"] if limits.of_database >= 0 else []
    return ", ".join(parts)


def _smaller(capacity: int, need: Need) -> str:
    each = capacity // need.machines
    if each < _LEAST:
        return "run fewer machines (scaling.count)"
    pool = min(need.pool, each // 2)
    overflow = min(need.overflow, each - 1 - pool)
    return f'set prefect.settings: {{{POOL}: "{pool}", {OVERFLOW}: "{overflow}"}}'


def _latency(place: Place, facts: Facts, region: str) -> Iterator[Check]:
    name, ms = place.environment, facts.roundtrip_s * 1000
    cloud = cloud_region(place.host.name)
    apart = kilometres(region, cloud)
    if apart is not None and apart > FAR_KM:
        yield missing(
            f"the database is in {cloud}, {apart:.0f} km from {region}: every statement takes {apart / KM_PER_MS:.0f} ms "
            f"at least (from this computer {ms:.1f} ms)",
            f"run both in one place: region: {nearest(cloud)} is the nearest",
            name,
        )
    elif apart is not None or facts.roundtrip_s < SLOW_S:
        yield ok(f"a statement takes {ms:.1f} ms from this computer", name)
    else:
        yield unknown(
            f"a statement takes {ms:.1f} ms from this computer; how long it takes from {region} is not known here",
            f"compare with where the database is: a server needs a region near to it, and has {region}",
            name,
        )


def _clock(place: Place, facts: Facts) -> Check:
    name, apart = place.environment, facts.clock_s
    if abs(apart) < CLOCK_S:
        return ok(f"its clock is within {CLOCK_S:.0f} s of this computer's", name)
    word = "ahead of" if apart > 0 else "behind"
    return missing(
        f"the database's clock is {abs(apart):.0f} s {word} this computer's; schedules and leases compare both servers' clocks",
        "compare both with `date -u` of a third computer, and have the wrong one follow NTP",
        name,
    )
