"""What a failed login to Postgres means, and the exact next step. Pure.

The server's own words are the evidence. They name users, databases and hosts, and never a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from roost.doctor.check import Check, missing, unknown
from roost.plan.database_address import Address, Host, Provider, quoted

NO_TLS = "rejected SSL upgrade"
"""The driver's words where a server has no TLS."""


@dataclass(frozen=True)
class Refusal:
    """Why a login failed.

    Args:
        words: the server's or the driver's own words, without the password.
        code: PostgreSQL's code of the error (SQLSTATE); empty for one of the network or of TLS.
        is_certificate: whether the server's certificate was not accepted.
        is_timeout: whether no answer came in time.
    """

    words: str
    code: str = ""
    is_certificate: bool = False
    is_timeout: bool = False


@dataclass(frozen=True)
class Place:
    """Where a login was tried: the host, the address, and the name of its secret."""

    host: Host
    address: Address
    secret: str
    environment: str


Step = Callable[[Place], str]


@dataclass(frozen=True)
class _Rule:
    """One kind of refusal: by its codes, or by words of servers and poolers, in lower case (regular expressions)."""

    codes: frozenset[str]
    phrases: tuple[str, ...]
    what: str
    mend: Step


def _password(place: Place) -> str:
    reset = {
        Provider.SUPABASE_POOLER: "in Supabase, Database Settings: reset the database password",
        Provider.SUPABASE: "in Supabase, Database Settings: reset the database password",
        Provider.NEON: "in Neon's console, Roles: reset the password",
        Provider.FLY: "in Fly's dashboard, Connect of the cluster: copy the string again",
        Provider.OTHER: f"set it with ALTER ROLE {place.address.user} PASSWORD '...'",
    }[place.host.provider]
    return (
        f"copy the password again into {place.secret}, with @ : / ? # % in it written as %40 %3A %2F "
        f"%3F %23 %25; if it is lost, {reset}"
    )


def _not_admitted(place: Place) -> str:
    if place.address.mode in {"disable", "allow", "prefer"}:
        return f"add ?sslmode=require to {place.secret}; if it stays, admit the host in pg_hba.conf"
    return "admit this user, database and network in the server's pg_hba.conf, or in the provider's list of allowed addresses"


def _project(place: Place) -> str:
    ref = place.address.user.partition(".")[2]
    page = f"https://supabase.com/dashboard/project/{ref}" if ref else "Supabase's dashboard"
    return (
        f"open {page}: resume the project if it is paused, then copy host and user of Connect, "
        f"Session pooler (the user is postgres.REF) into {place.secret}"
    )


def _more_connections(place: Place) -> str:
    if place.host.provider is Provider.SUPABASE_POOLER:
        return "in Supabase, Database Settings: raise the pool size, or set a smaller pool in prefect.settings (PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE)"
    return "end idle sessions (SELECT pid, usename, state FROM pg_stat_activity), or raise max_connections or the role's limit"


def _always(text: str) -> Step:
    return lambda _: text


_RULES = (
    _Rule(
        frozenset(),
        ("tenant or user not found", "enotfound", "project (is )?paused"),
        "the pooler knows no running project for this user: the project is paused, or host or user are another's",
        _project,
    ),
    _Rule(
        frozenset(),
        ("endpoint id is not specified",),
        "Neon does not know which endpoint is meant",
        _always(
            "use the host that begins with the endpoint's name (ep-...), as Neon's console shows it"
        ),
    ),
    _Rule(
        frozenset(),
        ("compute time quota", "exceeded the data transfer quota"),
        "the project's quota is used up, so Neon keeps it suspended",
        _always("raise the plan or wait for the next period: Neon's console, Billing"),
    ),
    _Rule(
        frozenset(),
        ("endpoint is disabled", "endpoint has been disabled"),
        "the endpoint is disabled, so Neon does not start it",
        _always("enable the compute: Neon's console, Branches, the branch's Computes"),
    ),
    _Rule(
        frozenset(),
        ("endpoint could not be found",),
        "Neon has no such endpoint: it or its branch was deleted",
        _always("copy the string again: Neon's console, Connect"),
    ),
    _Rule(
        frozenset({"53300"}),
        ("emaxconn", "max clients reached", "no more connections allowed", "too many clients"),
        "there is no connection free",
        _more_connections,
    ),
    _Rule(
        frozenset(),
        ("statement pooling",),
        "the pooler is in statement mode, which knows no transactions, and Prefect needs them",
        _always("set the pooler's pool_mode to session, or use the address of PostgreSQL itself"),
    ),
    _Rule(
        frozenset(),
        (r"no pg_hba\.conf entry", r"pg_hba\.conf rejects"),
        "the server admits nobody of this user, database, network and encryption",
        _not_admitted,
    ),
    _Rule(
        frozenset(),
        ("ssl required", "ssl connection is required", "connection is insecure", "requires ssl"),
        "the server wants TLS",
        lambda place: f"add ?sslmode=require to {place.secret}",
    ),
    _Rule(
        frozenset(),
        (NO_TLS.lower(),),
        "the server has no TLS, and the address asks for it",
        lambda place: (
            "turn TLS on at the server (ssl = on), or, only in a private network, remove sslmode "
            f"from {place.secret}"
        ),
    ),
    _Rule(
        frozenset({"3D000"}),
        ("no such database", r'database ".*" does not exist'),
        "the server has no such database",
        lambda place: (
            f"as an administrator there: CREATE DATABASE {quoted(place.address.database)} OWNER "
            f"{quoted(place.address.user)}; or correct the name after the host in {place.secret}"
        ),
    ),
    _Rule(
        frozenset({"28P01"}),
        ("authentication failed", "no such user"),
        "the user or the password is wrong",
        _password,
    ),
    _Rule(
        frozenset({"28000"}),
        (),
        "the server does not admit this user",
        lambda place: f"as an administrator there: ALTER ROLE {quoted(place.address.user)} LOGIN",
    ),
    _Rule(
        frozenset({"57P03", "57P01"}),
        (),
        "the server is starting up or shutting down",
        _always("run this again when it has"),
    ),
)


def refused(place: Place, refusal: Refusal) -> Check:
    """Return the finding of a failed login."""
    name, host = place.environment, place.host
    if refusal.is_certificate:
        return missing(
            f"{host.text} has a certificate that {place.address.mode} does not accept: {refusal.words}",
            _certificate(place, refusal.words.lower()),
            name,
        )
    if refusal.is_timeout:
        what = f"{host.text} accepts connections, and did not answer the login in time"
        return missing(
            what, "see the log of the server or of its pooler, then run this again", name
        )
    who = f"{place.address.user} at {host.text}, database {place.address.database}"
    evidence = f"{refusal.words} ({refusal.code})" if refusal.code else refusal.words
    words = refusal.words.lower()
    for rule in _RULES:
        if refusal.code in rule.codes or any(re.search(phrase, words) for phrase in rule.phrases):
            return missing(f"{who}: {rule.what}; its words: {evidence}", rule.mend(place), name)
    return unknown(f"{who}: the login failed: {evidence}", "read the server's log", name)


def _certificate(place: Place, words: str) -> str:
    if "hostname" in words or "ip address" in words:
        return "use the host name that the certificate is for, as the provider shows it"
    if "expired" in words:
        return "renew the server's certificate"
    named = place.address.root or "system"
    return (
        f"put the text of the provider's root certificate into a secret such as DATABASE_CA, and end "
        f"{place.secret} with ?sslmode=verify-full&sslrootcert=DATABASE_CA (now: {named})"
    )
