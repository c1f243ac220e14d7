"""Rules for `prefect.settings`, and for secrets that Prefect would read as settings.

A setting that cannot work here is refused with the reason; otherwise the gate would find it, after
an outage of a minute or two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roost.environment import database_rules
from roost.environment.disk import EVENTS_SETTING, FLOW_RUNS_SETTING, KEEP, VACUUM_SETTING
from roost.environment.model import AUTH_SECRET, Environment, PostgresDatabase
from roost.environment.prefect_settings import GROUP, PrefectSettings
from roost.environment.rules import SETTING, Finding
from roost.environment.variable_rules import is_secret_name

MANY = 100
"""With more settings no similar name is searched for, because each search takes milliseconds."""
REFERENCE = "https://docs.prefect.io/v3/api-ref/settings-ref"
_TRANSACTION_POOLER = re.compile(r":6543(/|$|\?)")
_SECRET_SETTING = re.compile(
    r"AUTH_STRING|CONNECTION_URL|PASSWORD|API_KEY|ENCRYPTION_KEY|REDIS.*URL|DOCKET_URL"
)
# Values that Prefect reads as true and false.
_ON = frozenset({"1", "true", "t", "yes", "y", "on"})
_OFF = frozenset({"0", "false", "f", "no", "n", "off"})
UI_SETTING = "PREFECT_SERVER_UI_ENABLED"
# Settings that roost sets itself, and from what.
OWNED_SETTINGS = {
    "PREFECT_HOME": "by database",
    "PREFECT_SERVER_API_HOST": "by roost: the server listens where Fly's proxy looks",
    "PREFECT_SERVER_API_PORT": "by roost: the server listens where Fly's proxy looks",
    "PREFECT_SERVER_UI_API_URL": "by roost: the UI asks the server it came from",
    UI_SETTING: "by access.ui, which is true or false",
    EVENTS_SETTING: "by database.retention.events, such as 7d",
    VACUUM_SETTING: "by database.retention, which has events and flow_runs",
    FLOW_RUNS_SETTING: "by database.retention.flow_runs, such as 90d",
}


def _always(_: str) -> bool:
    return True


def _is_on(value: str) -> bool:
    return value.strip().lower() in _ON


def is_off(value: str) -> bool:
    """Return whether Prefect reads a value as false."""
    return value.strip().lower() in _OFF


def _is_elsewhere(value: str) -> bool:
    return not value.startswith("prefect.")


@dataclass(frozen=True)
class Refused:
    """A setting that cannot work here.

    Args:
        why: the reason and the fix, after the name of the setting.
        when: returns whether a value is refused.
        any_image: whether it is refused with `prefect.image` too.
    """

    why: str
    when: Callable[[str], bool] = _always
    any_image: bool = False

    def applies(self, value: str | None, *, ours: bool) -> bool:
        """Return whether the setting is refused; a secret, whose value is unknown (None), always is."""
        return (ours or self.any_image) and (value is None or self.when(value))


_CLIENT = Refused(
    "is for clients, such as workers and flows, and the server itself has no use for it; "
    "remove it here, and set it where they run"
)
_MODULE = Refused(
    "names a module that a server of one machine does not use: it needs no Redis; remove it, or set "
    "topology to replicated",
    _is_elsewhere,
)
_TEST = Refused("is for Prefect's own tests; remove it")
_SERVING = Refused("has no effect: roost starts the HTTP server, and sets this itself; remove it")
REFUSED = {
    "PREFECT_API_URL": _CLIENT,
    "PREFECT_API_KEY": _CLIENT,
    "PREFECT_API_AUTH_STRING": _CLIENT,
    "PREFECT_PROFILES_PATH": Refused("names a file of profiles, and the image has none; remove it"),
    "PREFECT_SERVER_API_BASE_PATH": Refused(
        "moves the API away from /api, where Fly's health check and the gate look for it; "
        "remove it: each server has a host name of its own",
        lambda value: value.strip("/") != "api",
        any_image=True,
    ),
    "PREFECT_SERVER_UI_SERVE_BASE": Refused(
        "moves the pages away from /, where the gate looks for them; "
        "remove it: each server has a host name of its own",
        lambda value: value.strip("/") != "",
        any_image=True,
    ),
    "PREFECT_SERVER_UI_STATIC_DIRECTORY": Refused(
        "is decided by the image, which has the pages ready; remove it"
    ),
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": Refused(
        "switches off the scheduler: no schedule would create a run, and the gate proves that they "
        "do; remove it, and pause the schedules that must not run",
        is_off,
        any_image=True,
    ),
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": Refused(
        "switches off the service that stores events: all would be lost; remove it",
        is_off,
        any_image=True,
    ),
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": Refused(
        "switches off the service that stores task runs: all would be lost; remove it",
        is_off,
        any_image=True,
    ),
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": Refused(
        "keeps the server from migrating its database when it starts after an upgrade, and "
        "nothing else does it; remove it",
        is_off,
        any_image=True,
    ),
    "PREFECT_SERVER_EPHEMERAL_ENABLED": Refused(
        "starts a server for clients that have none; remove it", _is_on
    ),
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": _MODULE,
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": _MODULE,
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": _MODULE,
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": _MODULE,
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": _MODULE,
    "PREFECT_SERVER_DOCKET_URL": Refused(
        "names a Redis, and a server of one machine needs none; remove it, or set topology to replicated",
        lambda value: not value.startswith("memory://"),
    ),
    "PREFECT_SERVER_API_KEEPALIVE_TIMEOUT": _SERVING,
    "PREFECT_SERVER_API_WEBSOCKET_PING_INTERVAL": _SERVING,
    "PREFECT_SERVER_API_WEBSOCKET_PING_TIMEOUT": _SERVING,
    "PREFECT_TESTING_TEST_MODE": _TEST,
    "PREFECT_TESTING_UNIT_TEST_MODE": _TEST,
    "PREFECT_TESTING_UNIT_TEST_LOOP_DEBUG": _TEST,
    "PREFECT_TESTING_TEST_SETTING": _TEST,
}
# What the launcher sets for a replicated server (deploy/roost_server/redis_settings.py).
_OF_REDIS = frozenset(
    {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
        "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE",
        "PREFECT_SERVER_DOCKET_NAME",
        "PREFECT_SERVER_DOCKET_URL",
    }
)
_BY_REDIS = "is decided by the section redis, on every machine alike; remove it"
_REDIS_PREFIX = "PREFECT_REDIS_"
# Prefixes of names that are in no settings model of Prefect.
_FOREIGN = {
    _REDIS_PREFIX: "belongs to prefect_redis, which the server does not use: one machine needs no "
    "Redis; remove it",
    "PREFECT__": "is internal to Prefect; remove it",
    "PREFECT_PROFILE": "names a profile, and the image has none; remove it",
}


def settings_findings(environment: Environment, known: PrefectSettings) -> Iterator[Finding]:
    """Return what is wrong with each setting, and with each secret that Prefect reads as one."""
    for name, value in environment.prefect.settings.items():
        if fault := _setting_fault(environment, name, value, known):
            yield ("prefect", "settings", name), fault
    for index, secret in enumerate(environment.secrets):
        if fault := _secret_fault(environment, secret.name, known):
            yield ("secrets", index), fault
    if fault := database_rules.url_secret_fault(environment, known):
        yield ("database", "url_secret"), fault
    if fault := _retention_fault(environment, known):
        yield ("database", "retention", "flow_runs"), fault


def _retention_fault(environment: Environment, known: PrefectSettings) -> str:
    """Return why flow runs cannot be deleted; empty where they can, or the version has no list."""
    if environment.database.retention.flow_runs == KEEP or not known.complete:
        return ""
    found = known.find(VACUUM_SETTING)
    if found and found.kind != "bool":
        return ""
    return (
        f"flow_runs must be keep: Prefect {environment.prefect.version} deletes no flow runs by "
        "itself; upgrade it first"
    )


def _setting_fault(environment: Environment, name: str, value: str, known: PrefectSettings) -> str:
    if not SETTING.fullmatch(name):  # reported by rules.settings_are_settings
        return ""
    return (
        database_rules.setting_fault(environment, name, known)
        or _refused(environment, name, value, known)
        or _misplaced(name, value)
        or _unknown(environment, name, known)
        or _mistyped(environment, name, value, known)
    )


def _misplaced(name: str, value: str) -> str:
    if _TRANSACTION_POOLER.search(value):
        return (
            "port 6543 is a transaction pooler, which breaks Prefect's prepared statements; "
            "use the session pooler on 5432"
        )
    if _SECRET_SETTING.search(name):
        return f"{name} holds a secret; list its name under secrets instead"
    return ""


def holds_secret(name: str) -> bool:
    """Return whether a variable of this name, Prefect's or not, holds a password or a token."""
    return _SECRET_SETTING.search(name) is not None or is_secret_name(name)


def _secret_fault(environment: Environment, name: str, known: PrefectSettings) -> str:
    if not name.upper().startswith("PREFECT_") or name == AUTH_SECRET:
        return ""
    return (
        database_rules.secret_fault(environment, name, known)
        or _refused(environment, name, None, known)
        or _unknown(environment, name, known)
    )


def _refused(environment: Environment, name: str, value: str | None, known: PrefectSettings) -> str:
    """Return why a setting that Prefect knows is refused; the value of a secret is None."""
    canonical = known.canonical(name)
    if decided := OWNED_SETTINGS.get(canonical):
        return f"{name} is decided {decided}; remove it"
    found = known.find(name)
    if found and found.kind == GROUP:
        return f"{name} sets several settings at once; write each under its own name instead"
    if environment.replicated and canonical in _OF_REDIS:
        return f"{name} {_BY_REDIS}"
    refused = REFUSED.get(canonical)
    if refused and refused.applies(value, ours=environment.prefect.image is None):
        return f"{name} {refused.why}"
    return ""


def _unknown(environment: Environment, name: str, known: PrefectSettings) -> str:
    """Return why a name is no setting of our image's Prefect; other images may have more settings."""
    database = environment.database
    if isinstance(database, PostgresDatabase) and name == database.url_secret:
        return ""
    if environment.prefect.image is not None or not known.complete or known.find(name):
        return ""
    for beginning, why in _FOREIGN.items():
        if name.startswith(beginning):
            by_redis = environment.replicated and beginning == _REDIS_PREFIX
            return f"{name} {_BY_REDIS if by_redis else why}"
    close = known.nearest(name) if len(environment.prefect.settings) <= MANY else ""
    meant = f"did you mean {close}?" if close else f"remove it, or look it up at {REFERENCE}"
    return f"Prefect {environment.prefect.version} has no setting {name}; {meant}"


def _mistyped(environment: Environment, name: str, value: str, known: PrefectSettings) -> str:
    """Return why a value has the wrong type, without showing it; empty where it may be right."""
    setting = known.find(name)
    kind = setting.kind if setting and environment.prefect.image is None else ""
    text = value.strip()
    if kind == "bool" and not (_is_on(text) or is_off(text)):
        return f"{name} must be true or false"
    if kind in ("int", "float") and not _is_number(text):
        return f"{name} must be a {'whole number' if kind == 'int' else 'number'}"
    if "|" in kind and text.upper() not in kind.upper().split("|"):
        return f"{name} must be one of {', '.join(kind.split('|'))}"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
