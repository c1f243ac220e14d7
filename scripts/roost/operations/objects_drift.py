"""Compare the objects of a live Prefect server with their file, if the server may be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from roost.apply.objects import ObjectsServer, find_differences
from roost.apply.objects_step import objects_step
from roost.errors import PrivateNetworkError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.healing import Healing
from roost.operations.planning import Planned
from roost.operations.server_proof import environment_subject
from roost.plan.drift import Cause, Difference
from roost.plan.objects_record import record_on
from roost.plan.ownership import our_machines
from roost.plan.prefect_objects import KEY, reconcile_step
from roost.plan.steps import Change
from roost.prefect.objects_api import ObjectsUnreachableError
from roost.report.wording import one_line


class Asks(Enum):
    """When a comparison asks the server for its objects."""

    NEVER = "never"
    IF_AWAKE = "if awake"
    ALWAYS = "always"
    """A sleeping server is woken."""


def asks_of(healing: Healing, *, in_job: bool, objects: bool) -> Asks:
    """Return when a comparison asks for the objects.

    Args:
        healing: what is healed. What a hand did to an object does not keep an expired override.
        in_job: whether it is a job of the drift workflow. It heals what the job without a login found,
            so it compares objects only if it is asked to.
        objects: whether they are asked for by `--objects`.
    """
    if healing is Healing.ENDED:
        return Asks.NEVER
    if objects:
        return Asks.ALWAYS
    return Asks.NEVER if in_job else Asks.IF_AWAKE


@dataclass(frozen=True)
class ObjectsDrift:
    """The result of the comparison.

    Args:
        planned: the plan, with a step that undoes the differences.
        differences: those of the objects; the file did not change, so a hand made them.
        note: why the objects were not compared; empty if they were, or if there are none.
    """

    planned: Planned
    differences: tuple[Difference, ...] = ()
    note: str = ""


async def objects_drift(
    context: Context, target: Target, planned: Planned, asks: Asks
) -> ObjectsDrift:
    """Compare the objects of an environment's server with what was applied.

    Args:
        context: where the login is.
        target: the Fly.
        planned: the plan. If it changes objects, the file was not applied yet: nothing is compared.
        asks: when the server is asked.
    """
    file, ours = planned.file, our_machines(planned.desired, planned.live)
    record = record_on(ours.values())
    if planned.desired.objects is None or record is None or objects_step(planned.plan):
        return ObjectsDrift(planned)
    again = Command("drift", file.name, "--objects")
    if asks is Asks.NEVER:
        return ObjectsDrift(planned, note=f"this run leaves them out; to compare them: {again}")
    asleep = not any(machine.state == "started" for machine in ours.values())
    if asleep and asks is not Asks.ALWAYS:
        return ObjectsDrift(planned, note=f"the server sleeps; to wake it for that: {again}")
    try:
        await target.check_reach(file)
        environment = file.environment
        url = partial(target.app_url, environment.app, public=environment.access.public)
        auth = environment_subject(context, file, target, await url()).auth
        if auth is None and environment.access.auth == "basic":
            return ObjectsDrift(planned, note="the server's login is not here")
        changes = await find_differences(
            ObjectsServer(url, auth, open_server=context.clients.prefect),
            planned.desired.objects.objects,
            record,
        )
    except (PrivateNetworkError, ObjectsUnreachableError) as error:
        return ObjectsDrift(planned, note=one_line(str(error)).rstrip("."))
    return _with_step(planned, changes)


def _with_step(planned: Planned, changes: tuple[Change, ...]) -> ObjectsDrift:
    if not changes:
        return ObjectsDrift(planned)
    step = reconcile_step(
        planned.desired, changes, "Prefect's objects: undo what a hand changed on the server"
    )
    plan = replace(planned.plan, steps=(*planned.plan.steps, step))
    found = tuple(
        Difference(KEY, step.summary, Cause.BY_HAND, c.field, c.old, c.new, c.new) for c in changes
    )
    return ObjectsDrift(replace(planned, plan=plan), found)
