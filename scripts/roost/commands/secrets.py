"""`roost secrets`: show the state of each secret without its value, or set what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from roost.apply.secret_values import Values, source_text
from roost.environment.load import EnvironmentFile, load_unit
from roost.environment.units import to_apply, units
from roost.errors import ExitCode, UnappliableError, UsageError
from roost.errors.command import Command
from roost.operations.applying import apply_and_report
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.lease_owner import lease_description
from roost.operations.needed_secrets import check_all_values
from roost.operations.planning import Planned, joined, make_plan
from roost.operations.secret_sources import given_values, known_values, object_values
from roost.plan.desired import Desired
from roost.plan.desired_state import desired_state
from roost.plan.document import Json
from roost.plan.live import Live, read_live
from roost.plan.objects_record import check_object_values, record_on
from roost.plan.ownership import our_machines
from roost.plan.prefect_objects import CHANGED, NOT_SET, secrets_of_blocks
from roost.plan.scope_check import beside_secrets
from roost.plan.secrets import SecretState, State, behind, check_values, secret_states
from roost.plan.steps import ReconcileObjects, SetSecrets, UnsetSecrets, UpdateMachine
from roost.report.text import listing, plan_report, unit_heading


@dataclass(frozen=True)
class SecretReport:
    """The secrets of an environment, and what an apply would change."""

    file: EnvironmentFile
    states: tuple[SecretState, ...]
    values: Values
    made_up: frozenset[str]
    """Names of the secrets with a generated value."""
    behind: tuple[str, ...]
    """Machines that booted before the current secrets were set."""
    of_blocks: dict[str, str]
    """The state of each secret of Prefect's blocks in words, by name."""

    @property
    def to_do(self) -> bool:
        """Whether an apply would change a secret."""
        prunes = self.file.environment.prune
        of_blocks = not {CHANGED, NOT_SET}.isdisjoint(self.of_blocks.values())
        return (
            bool(self.behind)
            or of_blocks
            or any(s.state.is_set or (prunes and s.state is State.EXTRA) for s in self.states)
        )


async def secrets(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
    exit_code: bool,
) -> ExitCode:
    """Show the state of each secret; with `exit_code`, return 2 if an apply would change one."""
    file = load_unit(name, context.environments)
    async with connect(context, local=local) as target:
        reports = [await compare_secrets(context, unit, target) for unit in units(file)]
    if as_json:
        context.out.print_json(json.dumps(joined([_document(found) for found in reports])))
    for found in () if as_json else reports:
        if len(reports) > 1:
            context.out.print(unit_heading(found.file.name, found.file.environment.app))
        rows = [(s.name, s.state.value, _source(found, s.name)) for s in found.states]
        if rows:
            context.out.print(listing(("secret", "state", "source"), rows))
        for line in _remarks(found):
            context.out.print(line, markup=False, soft_wrap=True)
    to_do = any(found.to_do for found in reports)
    return ExitCode.CHANGES if exit_code and to_do else ExitCode.DONE


async def set_secrets(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
    exit_code: bool,
) -> ExitCode:
    """Set the secrets that an apply would set, roll them out and prove them.

    A sleeping server stays asleep, unless a block of Prefect's objects gets a new value: it is woken.

    Raises:
        UsageError: --exit-code was given, too, which has no meaning here.
        UnappliableError: more than secrets would change; nothing was changed.
    """
    if exit_code:
        raise UsageError("--set and --exit-code exclude each other: leave out one of them.")
    file = load_unit(name, context.environments)
    documents: list[Json] = []
    doing = lease_description("secrets --set", context.environ)
    try:
        async with connect(context, local=local) as target:
            # All are checked before any is set, as a flow server has the login of its server.
            plans = [await make_plan(context, unit, target) for unit in to_apply(file)]
            for planned in plans:
                check_confined(planned)
            check_all_values(target, plans)
            for planned in plans:
                context.progress.print(plan_report(planned.plan, planned.cost))
                document = planned.document()
                results = await apply_and_report(
                    context, target, planned, document, doing, hand_over=documents.append
                )
                if not as_json:
                    said = outcome(planned, proved=bool(results))
                    context.out.print(said, markup=False, soft_wrap=True)
    finally:
        if as_json and documents:
            context.out.print_json(json.dumps(joined(documents)))
    return ExitCode.DONE


def check_confined(planned: Planned) -> None:
    """Check that a plan changes only secrets; its refusals are reported by the apply.

    Raises:
        UnappliableError: it changes more.
    """
    others = beside_secrets(planned.plan)
    if others and not planned.plan.refusals:
        name = planned.file.name
        raise UnappliableError(
            f"The plan changes more than secrets: {'; '.join(others)}.",
            where=name,
            advice=f"See it (`{Command('plan', name)}`) and apply it (`{Command('apply', name)}`), which sets the secrets too. Nothing was changed.",
        )


def outcome(planned: Planned, *, proved: bool) -> str:
    """Return what was set, and whether a running server was proved with it."""
    name, steps = planned.file.name, planned.plan.steps
    if not steps:
        return f"{name}: there is nothing to set."
    given = [s.names for s in steps if isinstance(s, SetSecrets)]
    removed = [s.names for s in steps if isinstance(s, UnsetSecrets)]
    changes = [f"set {', '.join(names)}" for names in given]
    changes += [f"removed {', '.join(names)}" for names in removed]
    if any(isinstance(step, ReconcileObjects) for step in steps):
        changes.append("set the new secrets of Prefect's blocks")
    changes += [] if changes else ["rolled out"]
    if proved:
        return f"{name}: {'; '.join(changes)}. Proved."
    asleep = any(isinstance(step, UpdateMachine) and step.skip_launch for step in steps)
    waking = ""
    if asleep and planned.file.beside:
        waking = " The flow server sleeps and wakes with them."
    elif asleep:
        waking = f" The server sleeps and wakes with them. Prove it then: {Command('smoke', name)}"
    return f"{name}: {'; '.join(changes)}.{waking}"


async def compare_secrets(context: Context, file: EnvironmentFile, target: Target) -> SecretReport:
    """Compare Fly with the sources; change nothing and generate no value."""
    desired = desired_state(file, "")  # the image does not matter here
    live = await read_live(target.fly, desired.app)
    given = given_values(context, file)
    values = known_values(context, file, target, desired, live)
    made_up = frozenset(values.found) - frozenset(given.found)
    ours = our_machines(desired, live)
    checked = replace(
        desired,
        values=check_values(desired, live, ours, values.found),
        object_values=check_object_values(
            record_on(ours.values()), object_values(context, file, target).found
        ),
    )
    states, of_blocks = secret_states(checked, live, ours), secrets_of_blocks(checked, ours)
    return SecretReport(file, states, values, made_up, _behind(desired, live), of_blocks)


def _behind(desired: Desired, live: Live) -> tuple[str, ...]:
    ours = our_machines(desired, live)
    return tuple(m.id for _, m in sorted(ours.items()) if behind(desired, live, m))


def _source(found: SecretReport, name: str) -> str:
    if name in found.made_up:
        return "made up here"
    declared = {secret.name: secret for secret in found.file.environment.secrets}
    return source_text(declared[name]) if name in declared else "-"


def _remarks(found: SecretReport) -> Iterator[str]:
    """Return notes beside the table: why a value was not checked, and the next step."""
    if not found.states:
        only = " of its own" if found.of_blocks else ""
        yield f"It has no secrets{only}."
    for state in found.states:
        unread = found.values.missing.get(state.name)
        if unread and (unread.unusable or state.state.is_set or state.state is State.UNCHECKED):
            problem = "cannot be set" if unread.unusable else "has no value here"
            yield f"{state.name} {problem}: {unread.why}. {unread.advice}"
    if found.of_blocks:
        listed = ", ".join(f"{name} ({state})" for name, state in found.of_blocks.items())
        yield f"Secrets of Prefect's blocks: {listed}."
    if found.behind:
        yield f"May have booted with older secrets: {', '.join(found.behind)}."
    if found.to_do:
        name = found.file.name
        yield f"To apply it: {Command('apply', name)}; and nothing else: {Command('secrets', name, '--set')}"


def _document(found: SecretReport) -> dict[str, object]:
    return {
        "environment": found.file.name,
        "app": found.file.environment.app,
        "to_do": found.to_do,
        "behind": list(found.behind),
        "secrets": [
            {
                "name": s.name,
                "state": s.state.value,
                "source": _source(found, s.name),
                "value_here": s.name in found.values.found,
                "why_not": unread.why if (unread := found.values.missing.get(s.name)) else "",
            }
            for s in found.states
        ],
        "secrets_of_blocks": found.of_blocks,
    }
