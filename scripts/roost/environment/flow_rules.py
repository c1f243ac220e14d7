"""Rules for the section `flows` that need nothing but the file."""

from __future__ import annotations

from collections.abc import Iterator

from roost.environment.bucket_rules import BUCKET_RULES
from roost.environment.extras import extras_are_packages, extras_need_our_image
from roost.environment.flow_server import CLIENT_LOGIN
from roost.environment.flow_units import LONGEST_APP, flow_app, flow_environment
from roost.environment.model import Environment
from roost.environment.notify_rules import RULES as NOTIFY_RULES
from roost.environment.replicated_rules import REPLICATED_RULES
from roost.environment.rules import (
    Finding,
    Rule,
    findings,
    memory_fits_size,
    secrets_once,
    sources_are_not_the_job_s,
    suspend_fits_memory,
)
from roost.environment.variable_rules import is_owned, server_variables, variable_fault
from roost.environment.waker_rules import WAKER_RULES
from roost.environment.window_rules import WINDOW_RULES
from roost.environment.yaml_source import Path

LONGEST_STOP_S = 240
"""Fly ends a machine at the latest 300 s after its stop; the rest is for the cancellation."""
_OWNED = frozenset(
    {
        *("PREFECT_API_URL", "PREFECT_API_KEY", CLIENT_LOGIN, "PREFECT_PROFILE"),
        "PREFECT_CLIENT_CUSTOM_HEADERS",
    }
)


def names_once(environment: Environment) -> Iterator[Finding]:
    """Each flow server has its own name, which is part of its app's name."""
    seen: set[str] = set()
    for index, entry in enumerate(environment.flows):
        path = ("flows", index, "name")
        if entry.name in seen:
            yield path, f"{entry.name} is the name of two flow servers; rename one"
        seen.add(entry.name)
        app = flow_app(environment.app, entry.name)
        if len(app) > LONGEST_APP:
            yield path, f"the app {app} would have more than {LONGEST_APP} characters; shorten name"


def the_server_is_ours(environment: Environment) -> Iterator[Finding]:
    """A flow server needs a Prefect server of Roost's image, which knows when to wake it."""
    if environment.flows and environment.prefect.image is not None:
        yield (
            ("flows",),
            "flow servers are woken by roost's own image; remove prefect.image, or flows",
        )
    if environment.flows and environment.scaling.count == 0:
        yield ("flows",), "flow servers need a Prefect server; set scaling.count to 1"


def times_are_possible(environment: Environment) -> Iterator[Finding]:
    """The idle time and the time to stop have limits."""
    for index, entry in enumerate(environment.flows):
        if not 10 <= entry.idle_after.total_seconds() <= 7 * 86400:  # noqa: PLR2004 - ten seconds to a week
            yield ("flows", index, "idle_after"), "idle_after must be from 10s to 168h"
        if not 0 <= entry.stop_limit.total_seconds() <= LONGEST_STOP_S:
            yield (
                ("flows", index, "stop_limit"),
                "stop_limit must be at most 4m: Fly ends a machine 5 minutes after its stop",
            )


def folders_are_plain(environment: Environment) -> Iterator[Finding]:
    """The folder is named from the top of the repository, without `..`."""
    for index, entry in enumerate(environment.flows):
        if ".." in entry.path.split("/"):
            yield ("flows", index, "path"), f"{entry.path} leads out of the repository"


def variables_are_theirs(environment: Environment) -> Iterator[Finding]:
    """The variables of flows must not be those that Roost, Fly or a secret sets."""
    for index, entry in enumerate(environment.flows):
        for name, value in entry.environment.items():
            path: Path = ("flows", index, "environment", name)
            if _is_owned(name):
                yield path, f"{name} is set by roost; remove it"
            elif message := variable_fault(name, value, entry.secrets):
                yield path, message
        for number, secret in enumerate(entry.secrets):
            if _is_owned(secret.name):
                path = ("flows", index, "secrets", number)
                yield path, f"{secret.name} is set by roost; remove it"


def _is_owned(name: str) -> bool:
    """Return whether a variable is Roost's on a flow server; a server's settings are of no use there."""
    upper = name.upper()
    return upper in _OWNED or upper.startswith("PREFECT_SERVER_") or is_owned(name)


# Rules for a server that hold for a flow server too, with the place of each field in its entry.
_SHARED: tuple[Rule, ...] = (
    memory_fits_size,
    suspend_fits_memory,
    secrets_once,
    sources_are_not_the_job_s,
)


def shared_rules(environment: Environment) -> Iterator[Finding]:
    """Apply the rules about machines and secrets to each flow server."""
    for index, entry in enumerate(environment.flows):
        if len(flow_app(environment.app, entry.name)) > LONGEST_APP:
            continue  # `names_once` reports it
        derived = flow_environment(environment, entry)
        added = len(derived.secrets) - len(entry.secrets)
        for rule in _SHARED:
            for path, message in rule(derived):
                yield ("flows", index, *_entry_path(path, added)), message


def _entry_path(path: Path, added: int) -> Path:
    """Return the place in an entry of a field of the derived environment."""
    match path:
        case ("scaling", field):
            return (field,)
        case ("secrets", int(number), *rest):
            return ("secrets", max(0, number - added), *rest)
        case _:
            return path


FLOW_RULES: tuple[Rule, ...] = (
    names_once,
    the_server_is_ours,
    times_are_possible,
    folders_are_plain,
    variables_are_theirs,
    shared_rules,
)


def all_findings(environment: Environment) -> Iterator[Finding]:
    """Return what every rule finds about an environment and what stands beside its server."""
    yield from findings(environment)
    yield from findings(environment, (extras_are_packages, extras_need_our_image))
    yield from findings(environment, (server_variables, *WINDOW_RULES, *FLOW_RULES, *WAKER_RULES))
    yield from findings(environment, (*REPLICATED_RULES, *NOTIFY_RULES, *BUCKET_RULES))
