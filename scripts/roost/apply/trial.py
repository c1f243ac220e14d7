"""Try the address of a database on a machine of its own, before the server's secret is set."""

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
from roost.fly.client import FlyClient
from roost.fly.leases import Notice
from roost.fly.models import Machine
from roost.plan.live import Live
from roost.plan.steps import CreateMachine, Json, Plan, SetSecrets, UpdateMachine
from roost.plan.trial import TRIAL_KEY, ending_of, ending_text, trial_config, trial_values
from roost.secret_text import SecretText

POLL_S = 1.0
# A host that has not run the image yet fetches it first.
LIMIT_S = 240.0
REMOVE_LIMIT_S = 60.0
RUNNING = frozenset({"starting", "started"})
LOST = (FlyUnavailableError, FlyConflictError)


@dataclass(frozen=True)
class Trial:
    """What is tried, and where.

    Args:
        app: the server's.
        environment: whose.
        secret: the name of the secret that is tried.
        values: the secrets of the trial, by the names it has them under.
        config: the server's machine, as it is to be.
        region: where that runs.
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
    """Try the database that a plan names, if it does; what serves goes on with the one it has.

    Raises:
        DatabaseTrialError: the database cannot be used, or the trial did not end; nothing was changed.
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
    """Try it, and leave nothing of the trial.

    Raises:
        DatabaseTrialError: the database cannot be used, or the trial did not end; nothing was changed.
        ChangedMeanwhileError: somebody else is applying too; nothing was changed.
        FlyError: Fly refused; nothing was changed.
    """
    notice(f"try the database of {trial.secret} on a machine of its own")
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
            f"The address in {trial.secret} was tried on a machine of its own: {found}.",
            where=trial.environment,
            advice=(
                "Correct the value, then run the same command again. What serves now was not touched; "
                f"the trial's log: `fly logs -a {trial.app}`, here: ./run roost local logs {trial.app}."
            ),
        )


async def remove_trials(fly: FlyClient, app: str, live: Live) -> None:
    """Remove what an apply that was killed left of a trial.

    One that runs is somebody's, or ends by itself soon: it stays, with its secrets.
    """
    ended = [machine for machine in live.trials if machine.state not in RUNNING]
    for machine in ended:
        await fly.destroy_machine(app, machine.id)
    if live.trial_secrets and len(ended) == len(live.trials):
        await fly.set_secrets(app, dict.fromkeys(live.trial_secrets))


async def _create(fly: FlyClient, trial: Trial, version: int | None) -> Machine:
    """Create the machine, or take the one that a lost answer left."""
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

    async def not_made() -> bool:
        return await found() is None

    try:
        return await sent_once_seen(send, version, not_made)
    except LOST:
        made = await found()
        if made is None:
            raise
        return made


async def _outcome(fly: FlyClient, trial: Trial, key: str) -> str:
    """Wait for its end, and return what it found wrong; empty where the database is good."""
    with anyio.move_on_after(LIMIT_S):
        while True:
            machine = await fly.get_machine(trial.app, key)
            if machine is None:
                raise ChangedMeanwhileError(
                    "The machine that tried the database was removed: somebody else is applying too.",
                    where=trial.environment,
                    advice="Let them end, then run the same command again.",
                )
            if ending := ending_of(machine):
                return ending_text(ending)
            await anyio.sleep(POLL_S)
    return f"the machine that tried it did not end within {LIMIT_S:.0f} s"
