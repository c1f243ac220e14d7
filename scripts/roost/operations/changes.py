"""Verbs that compare and change: plan, apply."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from roost.apply.command_deadline import in_time
from roost.apply.executor import check_appliable
from roost.apply.release import Releaser
from roost.apply.restore import Restorer
from roost.apply.secret_values import Values, check_usable, database_note, require
from roost.apply.snapshots import Snapshots
from roost.apply.trial import remove_trials
from roost.apply.verdict import Proof
from roost.apply.work import Work, lease_holder
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import AUTH_SECRET
from roost.environment.rehearsal import rehearsed
from roost.errors import ChangedMeanwhileError, ExitCode, GateError
from roost.operations.commit import commit_of
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect, image_for
from roost.operations.images import image_before
from roost.operations.lease_owner import holding
from roost.operations.secret_sources import complete_values, known_values, to_make_up
from roost.plan.cost import CostChange, cost_change, read_prices
from roost.plan.desired import Desired, desired_state
from roost.plan.diff import diff
from roost.plan.document import Json, plan_digest, plan_document
from roost.plan.effective import Choose, Effective, effective
from roost.plan.ignored import Left, adopt
from roost.plan.live import Live, read_live
from roost.plan.override import marked
from roost.plan.ownership import our_machines
from roost.plan.restore import restoring
from roost.plan.resume import Recovery
from roost.plan.secrets import check_values, rotates_asleep
from roost.plan.steps import Plan, SetSecrets
from roost.prefect.probe import CheckResult
from roost.report.text import check_line, plan_report
from roost.report.wording import one_line
from roost.secret_text import SecretText


@dataclass(frozen=True)
class Planned:
    """A plan with all it was made from."""

    file: EnvironmentFile
    image: str
    desired: Desired
    live: Live
    plan: Plan
    cost: CostChange
    values: Values
    effective: Effective
    left: tuple[Left, ...] = ()
    """Differences that the file leaves to somebody else."""
    recovery: Recovery | None = None
    """What it is to reach, where that is not what the file asks for."""

    def document(self) -> Json:
        """Return all of it that people see as one JSON object."""
        override = self.effective.override
        document = plan_document(self.plan, self.cost)
        ignored = [left.document() for left in self.left]
        return {**document, "override": override and override.document(), "ignored": ignored}


async def make_plan(
    context: Context, file: EnvironmentFile, target: Target, choose: Choose = effective
) -> Planned:
    """Read live and compare it with what the file, and an override, ask for now."""
    if target.local is not None:
        file = rehearsed(file)
    image = image_for(context, file)
    live = await read_live(target.fly, file.environment.app)
    chosen = choose(file, live, datetime.now(UTC))
    adopted = adopt(marked(desired_state(chosen.file, image), chosen.override), live)
    desired = adopted.desired
    values = known_values(context, file, target, desired, live)
    check = check_values(desired, live, our_machines(desired, live), values.found)
    desired = replace(desired, values=check)
    cost = cost_change(read_prices(context.prices), desired, live)
    plan = chosen.annotate(adopted.annotate(diff(desired, live)))
    return Planned(chosen.file, image, desired, live, plan, cost, values, chosen, adopted.left)


async def plan(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - set by name in cli
    as_json: bool,  # noqa: FBT001 - set by name in cli
    exit_code: bool,  # noqa: FBT001 - set by name in cli
) -> ExitCode:
    """Show what would change; with `exit_code`, end with 2 when something would."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target)
    if as_json:
        context.out.print_json(json.dumps(planned.document()))
    else:
        context.out.print(plan_report(planned.plan, planned.cost))
    for secret, bad in sorted(planned.values.unusable.items()):
        told = f"warning: An apply refuses {secret}: {bad.why}. {bad.advice}"
        context.progress.print(told, markup=False, soft_wrap=True)
    tell_database(context, planned)
    pending = planned.plan.steps or planned.plan.refusals
    return ExitCode.CHANGES if exit_code and pending else ExitCode.DONE


async def apply(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - set by name in cli
    as_json: bool,  # noqa: FBT001 - set by name in cli
    digest: str,
) -> ExitCode:
    """Plan, carry it out, and prove the result good."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target)
        if restoring(planned.desired, planned.live):
            await settle(context, target, planned)
            planned = await make_plan(context, file, target)
        if digest and digest != plan_digest(planned.plan):
            raise ChangedMeanwhileError(
                "The plan is not the one with that digest any more.",
                advice=f"Look at what is new: roost plan {name}",
            )
        context.progress.print(plan_report(planned.plan, planned.cost))
        tell_database(context, planned)
        document = planned.document() if as_json else None
        await apply_told(context, target, planned, document)
    if rotates_asleep(planned.plan.steps):
        context.progress.print(
            f"It sleeps, and wakes with the new secrets. Its release is unproved until then: roost smoke {name}",
            soft_wrap=True,
        )
    return ExitCode.DONE


def tell_database(context: Context, planned: Planned) -> None:
    """Report which address of the database would serve better than the one that is given."""
    if note := database_note(planned.file.environment, planned.values):
        context.progress.print(f"note: {note}", markup=False, soft_wrap=True)


async def apply_told(
    context: Context, target: Target, planned: Planned, document: Json | None, doing: str = ""
) -> tuple[CheckResult, ...]:
    """Apply as `apply_planned` does, and print a document with what the gate found, failed or not.

    Args:
        context: see `apply_planned`.
        target: see `apply_planned`.
        planned: see `apply_planned`.
        document: what else to print; nothing is printed if None.
        doing: see `apply_planned`.

    Raises:
        GateError: see `apply_planned`; it is told with the document, too.
    """

    def tell(results: tuple[CheckResult, ...], error: str | None) -> None:
        if document is not None:
            gate = [vars(result) for result in results]
            context.out.print_json(json.dumps({**document, "gate": gate, "error": error}))

    try:
        results = await apply_planned(context, target, planned, doing)
    except GateError as failure:
        tell(failure.checks, failure.word)
        raise
    tell(results, None)
    return results


async def settle(context: Context, target: Target, planned: Planned) -> None:
    """End a restore that was cut short, before anything else is changed.

    Raises:
        GateFailedError: the restored server was no good, and the old one is back.
        NotRolledBackError: so it was, and the old one is no good either.
    """
    await target.check_reach(planned.file)
    context.progress.print("A restore was cut short; it is ended first.")
    async with restorer_of(context, target, planned) as restorer:
        await restorer.settle()


@asynccontextmanager
async def restorer_of(
    context: Context, target: Target, planned: Planned
) -> AsyncIterator[Restorer]:
    """Return what restores the environment's data; it gives its leases back at the end."""
    # Nothing is set here: of the values only the login is needed.
    needs = replace(planned, plan=replace(planned.plan, steps=()))
    auth = secret_values(context, target, needs).get(AUTH_SECRET)

    def notice(text: str) -> None:
        context.progress.print(f"  {text}", markup=False)

    snapshots = Snapshots(proof_of(context, target, planned, auth), notice)
    doing = holding("roost restore", context.environ)
    async with (
        in_time(planned.file.name),
        lease_holder(target.fly, planned.desired.app, notice, doing) as leases,
    ):
        work = Work(target.fly, leases, {}, notice)
        git = commit_of(context.environ, planned.file.path.parent)
        yield Restorer(work, snapshots, planned.desired, git, moment)


def moment() -> str:
    """Return the time as records write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


async def apply_planned(
    context: Context, target: Target, planned: Planned, doing: str = ""
) -> tuple[CheckResult, ...]:
    """Carry a plan out and gate it; a plan without steps changes and proves nothing.

    Args:
        context: where things are, and where to print.
        target: the Fly to change.
        planned: the plan, with all it was made from.
        doing: what others are told who find a machine's lease taken; that it is an apply by default.

    Raises:
        GateFailedError: the gate failed, and the last good release is back.
        NotRolledBackError: the gate failed, and nothing could be put back.
        MissingSecretError: a value is missing; nothing was called.
        UnusableSecretError: a value cannot work; nothing was called.
        UnappliableError: the image has to be built, and cannot be; nothing was changed.
        PrivateNetworkError: the server could not be proved from here; nothing was changed.
    """
    check_usable(planned.values)
    check_appliable(planned.plan)
    if not planned.plan.steps:
        await remove_trials(target.fly, planned.desired.app, planned.live)
        return ()
    await target.check_reach(planned.file)
    values = secret_values(context, target, planned)
    file, environment = planned.file, planned.file.environment
    app_created = await image_before(context, target, file, planned.image, planned.plan)

    def notice(text: str) -> None:
        context.progress.print(f"  {one_line(text)}", markup=False)

    doing = doing or holding("roost apply", context.environ)
    async with (
        in_time(planned.file.name),
        lease_holder(target.fly, environment.app, notice, doing) as leases,
    ):
        work = Work(target.fly, leases, values, notice, app_created=app_created)
        releaser = Releaser(
            work,
            proof_of(context, target, planned, values.get(AUTH_SECRET)),
            planned.desired,
            commit_of(context.environ, file.path.parent),
            moment,
        )
        return await releaser.apply(planned.plan, planned.live, planned.recovery)


def proof_of(context: Context, target: Target, planned: Planned, auth: SecretText | None) -> Proof:
    """Return how the environment's server is proved, each check told as it comes."""
    environment = planned.file.environment
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
    )


def secret_values(context: Context, target: Target, planned: Planned) -> Mapping[str, SecretText]:
    """Return the values the plan and the gate need; the local Fly gets a login that is made up.

    Raises:
        MissingSecretError: a needed value is nowhere.
        UnusableSecretError: a value cannot work.
    """
    check_usable(planned.values)
    file = planned.file
    needed = {name for s in planned.plan.steps if isinstance(s, SetSecrets) for name in s.names}
    if file.environment.access.auth == "basic":
        needed.add(AUTH_SECRET)  # the gate logs in
    made_up = needed & to_make_up(target, planned.values, planned.live)
    require(needed - made_up, planned.values)
    return complete_values(context, file, planned.values, made_up).found
