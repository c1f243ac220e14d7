"""The secret values of an environment, from the sources that its file names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from roost.apply.secret_values import (
    Values,
    find_bucket_keys,
    find_object_values,
    find_values,
)
from roost.apply.sops import SopsFiles, Unread
from roost.environment.flow_server import CLIENT_LOGIN
from roost.environment.load import EnvironmentFile
from roost.environment.model import AUTH_SECRET
from roost.environment.redis import PASSWORD
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fly_target import Generates, Target
from roost.operations.generated_secrets import GeneratedSecrets
from roost.plan.desired import Desired
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.secrets import State, check_values, secret_states
from roost.secret_text import SecretText

_OTHER_IS_SET = frozenset({State.CHANGED, State.BY_HAND})


def given_values(context: Context, file: EnvironmentFile) -> Values:
    """Return the values of the sources; a missing value is part of the result, not an error."""
    files = SopsFiles(file.repository, context.environ)
    return find_values(file.environment, context.environ, files)


def bucket_values(context: Context, file: EnvironmentFile) -> Values:
    """Return the keys of the bucket with the dumps, from their sources."""
    files = SopsFiles(file.repository, context.environ)
    return find_bucket_keys(file.environment, context.environ, files)


def known_values(
    context: Context, file: EnvironmentFile, target: Target, desired: Desired, live: Live
) -> Values:
    """Return the given values and the generated ones that are set on the app; generate none."""
    given = given_values(context, file)
    made = _generated_before(context, file, _may_generate(file, target.generates, given))
    kept = {name: value for name, value in made.items() if _keeps(desired, live, name, value)}
    known = given.with_made(kept)
    there = {secret.name for secret in live.secrets}
    return _with_reason_if_set(known, _may_generate(file, target.generates, known) & there)


def object_values(context: Context, file: EnvironmentFile, target: Target) -> Values:
    """Return the values of the secrets of Prefect's blocks; a rehearsal generates those it lacks."""
    files = SopsFiles(file.repository, context.environ)
    given = find_object_values(file.environment, context.environ, files)
    if target.generates is not Generates.ALL:
        return given
    store = GeneratedSecrets(context.local_home, context.clients.make_value)
    absent = sorted(given.missing.keys() - given.unusable.keys())
    made, _ = store.values(file.environment.app, absent) if absent else ({}, frozenset())
    return given.with_made(made)


@dataclass(frozen=True)
class Login:
    """The login of a Prefect server, where it is known here.

    Args:
        value: USER:PASSWORD; None if the server has no login, or its value is not here.
        made_up: whether it was generated for the local Fly.
    """

    value: SecretText | None
    made_up: bool = False


def login_of(context: Context, file: EnvironmentFile, generates: Generates) -> Login:
    """Return the login of a Prefect server, from the first of these places that has it.

    They are the source that its file names, the values that were generated for the local Fly, and the
    variable with the name of the secret.

    Args:
        context: the variables of this process, and the folder of the local Fly.
        file: the environment.
        generates: which values may have been generated where the server is.
    """
    if file.environment.access.auth != "basic":
        return Login(None)
    given = given_values(context, file)
    if value := given.found.get(AUTH_SECRET):
        return Login(value)
    names = _may_generate(file, generates, given) & {AUTH_SECRET}
    if value := _generated_before(context, file, names).get(AUTH_SECRET):
        return Login(value, made_up=True)
    named = context.environ.get(AUTH_SECRET)
    return Login(SecretText(named) if named else None)


def to_generate(target: Target, file: EnvironmentFile, known: Values, live: Live) -> frozenset[str]:
    """Return the names of the secrets to generate: without a value here or on the app."""
    return _may_generate(file, target.generates, known) - {secret.name for secret in live.secrets}


def complete_values(
    context: Context, file: EnvironmentFile, known: Values, names: Iterable[str]
) -> Values:
    """Generate values for these names; print each new value once."""
    generated = GeneratedSecrets(context.local_home, context.clients.make_value)
    login = _generated_before(context, file, set(names) & {CLIENT_LOGIN})
    made, new = generated.values(_holder(file), sorted(set(names) - {CLIENT_LOGIN}))
    made |= login
    for name in sorted(new):
        context.progress.print(
            f"{name} has no value here. For the local Fly it is: {made[name].reveal()}"
        )
    return known.with_made(made)


def _may_generate(file: EnvironmentFile, generates: Generates, values: Values) -> frozenset[str]:
    """Return the names of the secrets without a value that may be generated on this Fly."""
    redis = file.server.redis
    of_redis = {PASSWORD} if redis and redis.managed else set()
    absent = frozenset(values.missing) - values.unusable.keys()
    match generates:
        case Generates.NOTHING:
            return frozenset()
        case Generates.LOGIN:
            return absent & {AUTH_SECRET, CLIENT_LOGIN, *of_redis}
        case Generates.ALL:
            return absent


def _generated_before(
    context: Context, file: EnvironmentFile, names: Iterable[str]
) -> dict[str, SecretText]:
    """Return generated values; a flow server's login is the one generated for its Prefect server."""
    store, wanted = GeneratedSecrets(context.local_home), set(names)
    known = store.known(_holder(file), wanted - {CLIENT_LOGIN})
    if file.flow and CLIENT_LOGIN in wanted:
        login = store.known(file.flow.server.app, {AUTH_SECRET}).get(AUTH_SECRET)
        return {**known, CLIENT_LOGIN: login} if login else known
    return known


def _holder(file: EnvironmentFile) -> str:
    """Return the app under which generated values are stored; a Redis and its server share one."""
    return file.redis.server.app if file.redis else file.environment.app


def _keeps(desired: Desired, live: Live, name: str, value: SecretText) -> bool:
    """Return whether an apply with this value replaces no other value.

    A secret with an unknown value was set by an apply that was interrupted before it started a
    machine. Its generated value is kept, so that the next apply goes on.
    """
    ours = our_machines(desired, live)
    checked = replace(desired, values=check_values(desired, live, ours, {name: value}))
    states = {found.name: found.state for found in secret_states(checked, live, ours)}
    return states.get(name) not in _OTHER_IS_SET


def _with_reason_if_set(values: Values, names: Iterable[str]) -> Values:
    """Add to the reason of each missing value that the app has another one."""
    missing_here = {
        name: Unread(
            f"{values.missing[name].why}; the app has one, which a generated one must not replace",
            f"{values.missing[name].advice} To begin with a new server instead: "
            f"`{Command('local', 'reset')}`, which deletes all local servers.",
        )
        for name in names
    }
    return Values(values.found, {**values.missing, **missing_here})
