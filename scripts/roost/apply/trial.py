"""Test the address of a database on a temporary machine before the server's secret is set."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from roost.apply.secrets_lag import sent_once_seen
from roost.errors import (
    ChangedMeanwhileError,
    DatabaseTrialError,
    FlyConflictError,
    FlyUnavailableError,
)
from roost.errors.command import Command
from roost.fly.client import FlyClient
from roost.fly.leases import Notice
from roost.fly.models import Machine
from roost.plan.live import Live
from roost.plan.steps import CreateMachine, Json, Plan, SetSecrets, UpdateMachine
from roost.plan.trial import TRIAL_KEY, ending_of, ending_text, trial_config, trial_values
from roost.secret_text import SecretText

POLL_S = 1.0
# Long, because a host that has not run the image yet downloads it first.
LIMIT_S = 240.0
REMOVE_LIMIT_S = 60.0
RUNNING = frozenset({"starting", "started"})
LOST = (FlyUnavailableError, FlyConflictError)


@dataclass(frozen=True)
class Trial:
    """A database address to test, and the machine to test it on.

    Args:
        app: the server's app.
        environment: name of the environment.
        secret: name of the secret whose value is tested.
        values: the secrets of the trial machine, by their temporary names.
        config: the planned config of the server's machine.
        region: the server's region.
    """

    app: str
    environment: str
    secret: str
    values: dict[str, SecretText]
    config: Json
    region: str


async def try_planned(
    plan: Plan, fly: FlyClient, values: Mapping[str, SecretText], notice: Notice
) -> None:
    """Test the database address that a plan sets, if any; the live server is not touched.

    Raises:
        DatabaseTrialError: the database cannot be used, or the test timed out; nothing was changed.
        ChangedMeanwhileError: somebody else is applying too; nothing was changed.
        FlyError: Fly refused; nothing was changed.
    """
    step = next((s for s in plan.steps if isinstance(s, SetSecrets) and s.tried), None)
    machines = (s for s in plan.steps if isinstance(s, CreateMachine | UpdateMachine))
    machine = next(machines, None)
    if step is None or machine is None:
        return
    tried = trial_values(step, values)
    region = await _region(fly, plan.app, machine)
    trial = Trial(plan.app, plan.environment, step.tried, tried, machine.config, region)
    await try_database(fly, notice, trial)


async def _region(fly: FlyClient, app: str, step: CreateMachine | UpdateMachine) -> str:
    if isinstance(step, CreateMachine):
        return step.region
    machine = await fly.get_machine(app, step.machine)
    return machine.region if machine else ""


async def try_database(fly: FlyClient, notice: Notice, trial: Trial) -> None:
    """Test an address on a temporary machine, then remove the machine and its secrets.

    Raises:
        DatabaseTrialError: the database cannot be used, or the test timed out; nothing was changed.
        ChangedMeanwhileError: somebody else is applying too; nothing was changed.
        FlyError: Fly refused; nothing was changed.
    """
    notice(f"test the database of {trial.secret} on a temporary machine")
    made = ""
    try:
        update = await fly.set_secrets(trial.app, dict(trial.values))
        made = (await _create(fly, trial, update.version or None)).id
        found = await _outcome(fly, trial, made)
    finally:
        with anyio.move_on_after(REMOVE_LIMIT_S, shield=True):
            try:
                await fly.set_secrets(trial.app, dict.fromkeys(trial.values))
            finally:
                if made:
                    await fly.destroy_machine(trial.app, made)
    if found:
        raise DatabaseTrialError(
            f"The address in {trial.secret} was tested on a temporary machine: {found}.",
            where=trial.environment,
            advice=(
                "Correct the value, then run the same command again. The live server was not touched; "
                f"the trial's log: `fly logs -a {trial.app}`, here: {Command('local', 'logs', trial.app)}."
            ),
        )


async def remove_trials(fly: FlyClient, app: str, live: Live) -> None:
    """Remove the trial machines and secrets that a killed apply left.

    A running one belongs to another apply, or ends by itself soon: it stays, with its secrets.
    """
    ended = [machine for machine in live.trials if machine.state not in RUNNING]
    for machine in ended:
        await fly.destroy_machine(app, machine.id)
    if live.trial_secrets and len(ended) == len(live.trials):
        await fly.set_secrets(app, dict.fromkeys(live.trial_secrets))


async def _create(fly: FlyClient, trial: Trial, version: int | None) -> Machine:
    """Create the machine, or find the one that a lost answer created."""
    name = f"try-{secrets.token_hex(4)}"
    config = trial_config(trial.config, trial.environment)

    async def found() -> Machine | None:
        machines = await fly.list_machines(trial.app, {TRIAL_KEY: trial.environment})
        return next((machine for machine in machines if machine.name == name), None)

    async def send() -> Machine:
        return await fly.create_machine(
            trial.app,
            name,
            trial.region,
            config,
            min_secrets_version=version,
        )

    async def is_absent() -> bool:
        return await found() is None

    try:
        return await sent_once_seen(send, version, is_absent)
    except LOST:
        made = await found()
        if made is None:
            raise
        return made


async def _outcome(fly: FlyClient, trial: Trial, key: str) -> str:
    """Wait for the trial and return what it found wrong; empty if the database works."""
    with anyio.move_on_after(LIMIT_S):
        while True:
            machine = await fly.get_machine(trial.app, key)
            if machine is None:
                raise ChangedMeanwhileError(
                    "The machine that tested the database was removed: somebody else is applying too.",
                    where=trial.environment,
                    advice="Wait until they finish, then run the same command again.",
                )
            if ending := ending_of(machine):
                return ending_text(ending)
            await anyio.sleep(POLL_S)
    return f"the machine that tested it did not finish within {LIMIT_S:.0f} s"
