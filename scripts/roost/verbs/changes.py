"""Verbs that compare and change: plan, apply."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from roost.apply.executor import carry_out, check_appliable
from roost.apply.gate import Gate
from roost.apply.secret_values import find_values, require
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import AUTH_SECRET
from roost.errors import (
    ChangedMeanwhileError,
    ExitCode,
    MachineFailedError,
    NotRolledBackError,
    RoostError,
)
from roost.plan.cost import CostChange, cost_change, read_prices
from roost.plan.desired import Desired, desired_state
from roost.plan.diff import diff
from roost.plan.document import plan_digest, plan_document
from roost.plan.live import Live, read_live
from roost.plan.ownership import find_volume, is_ours, our_machines
from roost.plan.steps import Plan, SetSecrets
from roost.prefect.opening import GATE_HEADERS
from roost.prefect.probe import OPENING, CheckResult, Server, select_checks
from roost.prefect.transport import prefect_client
from roost.report.text import check_line, plan_report
from roost.secret_text import SecretText
from roost.verbs.context import Context
from roost.verbs.target import Target, connect, image_for
from roost.verbs.throwaway import Throwaway

PROBE_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Planned:
    """A plan with all it was made from."""

    file: EnvironmentFile
    image: str
    desired: Desired
    live: Live
    plan: Plan
    cost: CostChange


async def make_plan(context: Context, file: EnvironmentFile, target: Target) -> Planned:
    """Read live and compare it with what the file asks for."""
    image = image_for(context, file)
    desired = desired_state(file, image)
    live = await read_live(target.fly, desired.app)
    prices = read_prices(context.deploy / "prices.yaml")
    return Planned(
        file, image, desired, live, diff(desired, live), cost_change(prices, desired, live)
    )


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
        context.out.print_json(json.dumps(plan_document(planned.plan, planned.cost)))
    else:
        context.out.print(plan_report(planned.plan, planned.cost))
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
        if digest and digest != plan_digest(planned.plan):
            raise ChangedMeanwhileError(
                "The plan is not the one with that digest any more.",
                advice=f"Look at what is new: roost plan {name}",
            )
        context.progress.print(plan_report(planned.plan, planned.cost))
        results = await apply_planned(context, target, planned)
    if as_json:
        document = plan_document(planned.plan, planned.cost)
        context.out.print_json(json.dumps({**document, "gate": [vars(r) for r in results]}))
    return ExitCode.DONE


async def apply_planned(
    context: Context, target: Target, planned: Planned
) -> tuple[CheckResult, ...]:
    """Carry a plan out and gate it; a plan without steps changes and proves nothing.

    Raises:
        NotRolledBackError: the gate failed.
        MissingSecretError: a value is missing; nothing was called.
    """
    check_appliable(planned.plan)
    if not planned.plan.steps:
        return ()
    values = secret_values(context, target, planned)
    if target.local is not None and not planned.file.environment.prefect.image:
        await build_image(context, target, planned)
    async with AsyncExitStack() as held:
        touched = await carry_out(
            planned.plan,
            target.fly,
            _volume_id(planned),
            values,
            lambda text: context.progress.print(f"  {text}", markup=False),
            held,
        )
        return await gate(context, target, planned, touched, values.get(AUTH_SECRET))


def secret_values(context: Context, target: Target, planned: Planned) -> Mapping[str, SecretText]:
    """Give the values the plan and the gate need; the local Fly gets throwaway ones.

    Raises:
        MissingSecretError: a needed value is nowhere.
    """
    file = planned.file
    found, missing = find_values(file.environment.secrets, context.environ)
    if target.local is not None:
        book = Throwaway(context.local_home)
        made, new = book.values(file.environment.app, missing)
        for name in sorted(new):
            context.progress.print(
                f"{name} has no value here. For the local Fly it is: {made[name].reveal()}"
            )
        return {**found, **made}
    needed = {name for s in planned.plan.steps if isinstance(s, SetSecrets) for name in s.names}
    if file.environment.access.auth == "basic":
        needed.add(AUTH_SECRET)  # the gate logs in
    require(tuple(sorted(needed)), found, missing)
    return found


async def build_image(context: Context, target: Target, planned: Planned) -> None:
    """Have the image ready on the local Fly, as CI has it ready in the app's registry."""
    if target.local is None or await target.local.has_image(planned.image):
        return
    version = planned.file.environment.prefect.version
    context.progress.print(f"Building the image of Prefect {version} (once a version)")
    await target.local.build_image(
        context.deploy,
        version,
        planned.image,
        lambda line: context.progress.print(f"  {line}", markup=False),
    )


async def gate(
    context: Context,
    target: Target,
    planned: Planned,
    touched: tuple[str, ...],
    auth: SecretText | None,
) -> tuple[CheckResult, ...]:
    """Prove the server good.

    Raises:
        NotRolledBackError: a check failed, or a machine died.
    """
    environment = planned.file.environment
    ours = tuple(m.id for m in planned.live.machines if is_ours(m, planned.desired))
    machines = touched or ours
    if not planned.desired.machines:
        return ()
    url = await target.app_url(environment.app)
    context.progress.print(f"Gate: {url}", soft_wrap=True)
    stock = bool(environment.prefect.image)
    async with prefect_client(url, PROBE_TIMEOUT_S, headers=GATE_HEADERS) as http:
        basic = auth if environment.access.auth == "basic" else None
        proof = Gate(
            target.fly,
            environment.app,
            machines,
            Server(http, basic, environment.prefect.version),
            select_checks(login=basic is not None, stock=stock),
            frozenset(event.id for m in planned.live.machines for event in m.events),
            time.monotonic,
            None if stock else OPENING,
        )
        try:
            results = await proof.run(lambda result: context.progress.print(check_line(result)))
        except MachineFailedError as error:
            raise _gate_failed(planned, str(error)) from error
    failed = [result for result in results if not result.ok]
    if failed:
        reasons = "; ".join(f"{result.name}: {result.detail}" for result in failed)
        raise _gate_failed(planned, f"Checks failed: {reasons}.")
    return results


def _gate_failed(planned: Planned, why: str) -> RoostError:
    environment = planned.file.environment
    return NotRolledBackError(
        f"{why} The server {environment.app} is left as it is, with its data untouched.",
        where=planned.file.name,
        advice=(
            f"See its log (`fly logs -a {environment.app}`, here: "
            f"./run roost local logs {environment.app}), mend the file and apply again."
        ),
    )


def _volume_id(planned: Planned) -> str:
    if planned.desired.volume is None:
        return ""
    ours = our_machines(planned.desired, planned.live)
    volume = find_volume(planned.desired.volume, planned.live, ours)
    return volume.id if volume else ""
