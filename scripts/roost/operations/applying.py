"""Apply one planned environment: secrets, image, changes on Fly, and the gate."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from roost.apply.command_deadline import in_time
from roost.apply.executor import check_appliable
from roost.apply.flow_verdict import FlowProof
from roost.apply.move_to_volume import VolumeMover
from roost.apply.objects import ObjectsServer
from roost.apply.objects_step import ObjectsKeeper
from roost.apply.redis_verdict import RedisProof
from roost.apply.release import Releaser
from roost.apply.restore import Restorer
from roost.apply.secret_values import check_usable
from roost.apply.snapshots import Snapshots
from roost.apply.trial import remove_trials
from roost.apply.verdict import Proof
from roost.apply.waker_verdict import WakerProof
from roost.apply.work import Work, lease_holder
from roost.environment.files import FlowUnit, RedisUnit, WakerUnit
from roost.environment.flow_units import login_name, split_name
from roost.environment.load import EnvironmentFile
from roost.environment.model import AUTH_SECRET
from roost.environment.redis import PASSWORD, PASSWORD_GRACE_S
from roost.errors import GateError, UnappliableError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.git import commit_of
from roost.operations.images import ensure_image, prepare_image
from roost.operations.lease_owner import lease_description
from roost.operations.needed_secrets import secret_values
from roost.operations.planning import Planned
from roost.plan.app_address import internal_name
from roost.plan.desired import VOLUME_NAME, Desired
from roost.plan.document import Json
from roost.plan.flow_machine import stop_s
from roost.plan.redis_machine import PORT
from roost.plan.restore import restoring
from roost.plan.steps import SetSecrets
from roost.plan.volume_move import check_resumable, takes_file
from roost.prefect.flow_server_checks import FlowServerSubject
from roost.prefect.probe import CheckResult
from roost.report.text import check_line
from roost.report.wording import one_line
from roost.secret_text import SecretText


async def apply_and_report(  # noqa: PLR0913 - those of `apply_planned`, and where the document goes
    context: Context,
    target: Target,
    planned: Planned,
    document: Json | None,
    doing: str = "",
    *,
    hand_over: Callable[[Json], object] | None = None,
) -> tuple[CheckResult, ...]:
    """Apply as `apply_planned` does, and print a JSON document with the gate's results.

    The document is printed also if the gate fails.

    Args:
        context: see `apply_planned`.
        target: see `apply_planned`.
        planned: see `apply_planned`.
        document: the rest of the JSON object; nothing is printed if None.
        doing: see `apply_planned`.
        hand_over: takes the whole document, instead of printing it.

    Raises:
        GateError: see `apply_planned`; the document names it, too.
    """

    def print_document(results: tuple[CheckResult, ...], error: str | None) -> None:
        if document is not None:
            gate = [vars(result) for result in results]
            whole = {**document, "gate": gate, "error": error}
            if hand_over:
                hand_over(whole)
            else:
                context.out.print_json(json.dumps(whole))

    try:
        results = await apply_planned(context, target, planned, doing)
    except GateError as failure:
        print_document(failure.checks, failure.word)
        raise
    print_document(results, None)
    return results


async def settle(context: Context, target: Target, planned: Planned) -> None:
    """Finish an interrupted restore before anything else is changed.

    Raises:
        UnappliableError: a move to a volume was interrupted, and the file now asks for something else, too.
        GateFailedError: the restored server failed its gate, and the old one runs again.
        NotRolledBackError: it failed, and the old server fails, too.
    """
    await target.check_reach(planned.file)
    state = restoring(planned.desired, planned.live)
    what = state.journal.what if state else "a restore"
    context.progress.print(f"Finish first what was interrupted: {what}.")
    if state and state.new and state.journal.is_move and planned.desired.volume:
        check_resumable(planned.desired, state)
        if takes_file(state):
            await ensure_image(context, target, planned.file, planned.image)
    async with restorer_of(context, target, planned) as restorer:
        await restorer.settle()


@asynccontextmanager
async def restorer_of(
    context: Context, target: Target, planned: Planned
) -> AsyncIterator[Restorer]:
    """Yield the restorer of the environment's data, or what moves them; release its leases at the end."""
    state = restoring(planned.desired, planned.live)
    kind = VolumeMover if state and state.journal.is_move else Restorer
    async with _changing(context, target, planned, "restore") as given:
        yield kind(*given)


@asynccontextmanager
async def volume_mover(
    context: Context, target: Target, planned: Planned
) -> AsyncIterator[VolumeMover]:
    """Yield what moves the environment's data to a volume; release its leases at the end."""
    async with _changing(context, target, planned, "migrate") as given:
        yield VolumeMover(*given)


@asynccontextmanager
async def _changing(
    context: Context, target: Target, planned: Planned, command: str
) -> AsyncIterator[tuple[Work, Snapshots, Desired, str, Callable[[], str]]]:
    """Yield what a restorer takes; release its leases at the end."""
    # A restore sets no secret; the gate needs the login.
    needs = replace(planned, plan=replace(planned.plan, steps=()))
    auth = secret_values(context, target, needs).get(AUTH_SECRET)

    def notice(text: str) -> None:
        context.progress.print(f"  {one_line(text)}", markup=False)

    volume = planned.desired.volume
    snapshots = Snapshots(
        proof_of(context, target, planned, auth), notice, volume.name if volume else VOLUME_NAME
    )
    doing = lease_description(command, context.environ)
    async with (
        in_time(planned.file.name) as more_time,
        lease_holder(target.fly, planned.desired.app, notice, doing) as leases,
    ):
        work = Work(target.fly, leases, {}, notice, more_time=more_time)
        git = commit_of(context.environ, planned.file.path.parent)
        yield work, snapshots, planned.desired, git, moment


def moment() -> str:
    """Return the current time as release records write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


async def apply_planned(
    context: Context, target: Target, planned: Planned, doing: str = ""
) -> tuple[CheckResult, ...]:
    """Apply a plan and run the gate; a plan without steps changes and proves nothing.

    Args:
        context: the folders, the consoles and the clients.
        target: the Fly to change.
        planned: the plan, with its inputs.
        doing: the description that the lease carries; an apply by default.

    Raises:
        GateFailedError: the gate failed, and the last good release was restored.
        NotRolledBackError: the gate failed, and no release could be restored.
        ObjectsError: the gate passed, and some of Prefect's objects could not be set.
        MissingSecretError: a value is missing; nothing was called.
        UnusableSecretError: a value has a wrong form; nothing was called.
        UnappliableError: the image is missing and cannot be built; nothing was changed.
        PrivateNetworkError: this computer cannot reach the server; nothing was changed.
    """
    check_usable(planned.values)
    check_usable(planned.object_values)
    check_appliable(planned.plan)
    if not planned.plan.steps:
        await remove_trials(target.fly, planned.desired.app, planned.live)
        return ()
    await target.check_reach(planned.file)
    await _check_server(target, planned.file)
    values = secret_values(context, target, planned)
    file, environment = planned.file, planned.file.environment
    app_created = await prepare_image(context, target, file, planned.image, planned.plan)

    def notice(text: str) -> None:
        context.progress.print(f"  {one_line(text)}", markup=False)

    doing = doing or lease_description("apply", context.environ)
    async with (
        in_time(planned.file.name) as more_time,
        lease_holder(target.fly, environment.app, notice, doing) as leases,
    ):
        work = Work(
            target.fly, leases, values, notice, app_created=app_created, more_time=more_time
        )
        releaser = Releaser(
            work,
            proof_of(context, target, planned, values.get(login_name(file))),
            planned.desired,
            commit_of(context.environ, file.path.parent),
            moment,
            ObjectsKeeper(
                work, objects_server(context, target, planned, values), environment.app, file.name
            ),
        )
        until = datetime.now(UTC) + timedelta(seconds=PASSWORD_GRACE_S)
        results = await releaser.apply(planned.plan, planned.live, planned.recovery)
    if changes_redis_password(planned):
        context.progress.print(
            f"The Redis accepts the password of before until {until:%H:%M} UTC. If the apply of its "
            "server stops half-way, apply again before that.",
            soft_wrap=True,
        )
    return results


def changes_redis_password(planned: Planned) -> bool:
    """Return whether a plan gives a Redis that exists another password."""
    sets = (step for step in planned.plan.steps if isinstance(step, SetSecrets))
    changes = any(PASSWORD in step.names for step in sets)
    return bool(planned.file.redis and planned.live.machines and changes)


async def _check_server(target: Target, file: EnvironmentFile) -> None:
    """Check that the Prefect server of a flow server exists: nothing proves it without one.

    Raises:
        UnappliableError: it does not.
    """
    if file.flow is None or await target.fly.get_app(file.flow.server.app):
        return
    environment, _ = split_name(file.name)
    raise UnappliableError(
        f"Its Prefect server {file.flow.server.app} does not exist yet.",
        where=file.name,
        advice=f"Apply it first: {Command('apply', environment)}. Nothing was changed.",
    )


def objects_server(
    context: Context, target: Target, planned: Planned, values: Mapping[str, SecretText]
) -> ObjectsServer:
    """Return the Prefect server of an environment, with its login and the secrets of its blocks."""
    environment = planned.file.environment
    return ObjectsServer(
        partial(target.app_url, environment.app, public=environment.access.public),
        values.get(AUTH_SECRET) if environment.access.auth == "basic" else None,
        planned.object_values.found,
        context.clients.prefect,
    )


def proof_of(context: Context, target: Target, planned: Planned, auth: SecretText | None) -> Proof:
    """Return how to prove the app's server; each check is printed when it ends."""
    match planned.file.beside:
        case FlowUnit() as flow:
            return _flow_proof(context, target, planned.file, flow, auth)
        case WakerUnit():
            return _waker_proof(context, target, planned.file)
        case RedisUnit():
            return _redis_proof(context, target, planned.file)
        case None:
            return _server_proof(context, target, planned.file, auth)


def _server_proof(
    context: Context, target: Target, file: EnvironmentFile, auth: SecretText | None
) -> Proof:
    environment = file.environment
    return Proof(
        target.fly,
        environment.app,
        partial(target.app_url, environment.app, public=environment.access.public),
        auth if environment.access.auth == "basic" else None,
        bool(environment.prefect.image),
        time.monotonic,
        lambda result: context.progress.print(check_line(result)),
        lambda url: context.progress.print(f"Gate: {url}", soft_wrap=True),
        environment.database.backend,
        context.clients.prefect,
    )


def _flow_proof(
    context: Context, target: Target, file: EnvironmentFile, flow: FlowUnit, auth: SecretText | None
) -> FlowProof:
    server = flow.server
    return FlowProof(
        target.fly,
        file.environment.app,
        partial(target.app_url, server.app, public=server.access.public),
        auth if server.access.auth == "basic" else None,
        stock=False,
        clock=time.monotonic,
        on_check=lambda result: context.progress.print(check_line(result)),
        on_url=lambda url: context.progress.print(f"Gate: {url}", soft_wrap=True),
        open_server=context.clients.prefect,
        subject=FlowServerSubject(flow.entry.name, file.name, stop_s=stop_s(flow.entry)),
    )


def _waker_proof(context: Context, target: Target, file: EnvironmentFile) -> WakerProof:
    app = file.environment.app
    return WakerProof(
        target.fly,
        app,
        partial(target.app_url, app, public=False),
        None,
        stock=False,
        clock=time.monotonic,
        on_check=lambda result: context.progress.print(check_line(result)),
        on_url=lambda url: context.progress.print(f"Gate: {url}, by Fly's API", soft_wrap=True),
        open_server=context.clients.prefect,
    )


def _redis_proof(context: Context, target: Target, file: EnvironmentFile) -> RedisProof:
    app = file.environment.app
    return RedisProof(
        target.fly,
        app,
        partial(_redis_url, app),
        None,
        stock=False,
        clock=time.monotonic,
        on_check=lambda result: context.progress.print(check_line(result)),
        on_url=lambda url: context.progress.print(f"Gate: {url}, by Fly's API", soft_wrap=True),
        open_server=context.clients.prefect,
    )


async def _redis_url(app: str) -> str:
    """Return where Fly asks the machine of a Redis for its health."""
    return f"http://{internal_name(app)}:{PORT}"
