"""`roost scale`: override the scaling until a time, or change it in the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from roost.environment.fields import parse_duration
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.scale import SECTIONS, Fields, scale_faults
from roost.errors import ExitCode, UnappliableError, UsageError
from roost.errors.command import Command
from roost.operations.applying import apply_planned
from roost.operations.context import Context
from roost.operations.edit_file import scale_for_good
from roost.operations.fly_target import Target, connect
from roost.operations.lease_owner import lease_description, who
from roost.operations.planning import Planned, make_plan
from roost.plan.effective import Choose, cleared, overridden
from roost.plan.override import LONGEST, LONGEST_REASON, Override
from roost.plan.ownership import our_machines
from roost.plan.releases import releases_on
from roost.plan.resume import rolled_back_by_hand
from roost.plan.scope_check import beside
from roost.prefect.probe import CheckResult
from roost.report.text import plan_report
from roost.report.wording import one_line


@dataclass(frozen=True)
class ScaleOptions:
    """The options of `roost scale`; None or empty for an option that was not given."""

    fields: Mapping[str, int | str | None]
    until: str = ""
    reason: str = ""
    clear: bool = False
    permanent: bool = False

    @property
    def given(self) -> Fields:
        """The fields that have a value."""
        return {name: value for name, value in self.fields.items() if value is not None}


async def scale(
    context: Context,
    name: str,
    *,
    asked: ScaleOptions,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Set and apply an override, end one, or edit the file."""
    check_options(asked)
    file = load_environment(name, context.environments)
    check_fields(file, asked.given)
    if asked.permanent:
        return scale_for_good(context, file, asked.given, asked.reason, as_json=as_json)
    choose = chosen_by(asked, context.environ)
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target, choose)
        results = await carry_out(context, target, planned, asked)
    if as_json:
        document = planned.document()
        context.out.print_json(json.dumps({**document, "gate": [vars(r) for r in results]}))
    else:
        context.out.print(outcome(planned, asked), markup=False, soft_wrap=True)
    return ExitCode.DONE


async def carry_out(
    context: Context, target: Target, planned: Planned, asked: ScaleOptions
) -> tuple[CheckResult, ...]:
    """Apply the plan if it changes only the scaling.

    Raises:
        UnappliableError: it changes more; not raised if there is no override to clear.
    """
    others = beside(planned.plan, scaled(planned, asked))
    if others and asked.clear and planned.effective.ended is None:
        return ()
    if others and not planned.plan.refusals:
        raise _more_than_scaling(planned, others)
    context.progress.print(plan_report(planned.plan, planned.cost))
    doing = lease_description("scale", context.environ, asked.reason)
    return await apply_planned(context, target, planned, doing)


def _more_than_scaling(planned: Planned, others: tuple[str, ...]) -> UnappliableError:
    """Return the refusal. After a manual rollback its hint is another: an apply would undo it."""
    name = planned.file.name
    what = f"The plan changes more than the scaling: {'; '.join(others)}."
    advice = (
        f"See it (`{Command('plan', name)}`), apply it (`{Command('apply', name)}`), then scale."
    )
    machines = our_machines(planned.desired, planned.live).values()
    if back := rolled_back_by_hand(releases_on(machines)):
        what += (
            f" Release {back.back_to} was put back by hand, as release {back.number}, and the file "
            "asks for something else: scaling by the file would go there again."
        )
        advice = f"Merge a revert of the file first, then scale, or apply the file (`{Command('apply', name)}`)."
    return UnappliableError(what, where=name, advice=f"{advice} Nothing was changed.")


def scaled(planned: Planned, asked: ScaleOptions) -> set[str]:
    """Return the fields that may change: the requested ones, and those of the previous override."""
    before = planned.effective.ended
    return {*asked.given, *(before.fields if before else ())}


def option(field: str) -> str:
    """Return the option that sets a field."""
    return f"--{field.replace('_', '-')}"


def check_options(asked: ScaleOptions) -> None:
    """Check that the options have one of the three valid forms.

    Raises:
        UsageError: they do not; the hint says what to add or leave out.
    """
    options = ", ".join(option(field) for field in SECTIONS)
    if asked.clear:
        if asked.given or asked.until or asked.permanent:
            raise UsageError("--clear ends an override and takes no other option.")
        return
    if not asked.given:
        raise UsageError("There is nothing to change.", advice=f"Give one of {options}.")
    if asked.permanent and asked.until:
        raise UsageError(
            "--permanent and --until exclude each other.", advice="Leave out one of them."
        )
    if asked.permanent:
        return
    if not asked.until:
        raise UsageError(
            "--until is missing: an override ends by itself.",
            advice="Add --until 4h, or --permanent to change the file instead.",
        )
    if not asked.reason.strip():
        raise UsageError("--reason is missing.", advice='Say why, for others: --reason "demo".')
    if len(one_line(asked.reason)) > LONGEST_REASON:
        raise UsageError(f"--reason is longer than {LONGEST_REASON} characters.")


def check_fields(file: EnvironmentFile, fields: Fields) -> None:
    """Check the scaled environment by the rules for files.

    Raises:
        UsageError: an option breaks a rule.
    """
    faults = [
        f"{' with '.join(f'{option(n)} {fields[n]}' for n in names)}: {message}."
        for names, message in scale_faults(file.environment, fields)
    ]
    if faults:
        raise UsageError(" ".join(faults), where=file.name, advice="Nothing was changed.")


def chosen_by(asked: ScaleOptions, environ: Mapping[str, str]) -> Choose:
    """Return the function that decides on the override: the requested one, or none.

    Raises:
        UsageError: its time is not valid, past, or too far away.
    """
    if asked.clear:
        return lambda file, live, _: cleared(file, live)
    if asked.given.get("count") == 0:
        raise UsageError(
            "--count 0 would leave no machine that stores the override and ends it.",
            advice=f"Put the server to sleep instead (`{Command('sleep', 'ENV')}`), or use --permanent.",
        )
    now = datetime.now(UTC).replace(microsecond=0)
    override = Override(
        fields=asked.given,
        until=parse_until(asked.until, now),
        reason=one_line(asked.reason),
        who=one_line(who(environ))[:100],
        since=now,
    )
    return lambda file, live, _: overridden(file, live, override)


def parse_until(text: str, now: datetime) -> datetime:
    """Parse a duration, such as 4h, or an RFC 3339 time.

    Raises:
        UsageError: the text is neither, or the time is past or too far away.
    """
    until = _moment(text, now).replace(microsecond=0)
    if until <= now:
        raise UsageError(f"--until {text} is past; it is {now:%Y-%m-%dT%H:%M:%SZ} now.")
    if until - now > LONGEST:
        raise UsageError(
            f"--until {text} is more than {LONGEST.days} days away.",
            advice="A longer change belongs into the file: --permanent.",
        )
    return until


def _moment(text: str, now: datetime) -> datetime:
    try:
        return now + parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    example = (now + timedelta(hours=4)).isoformat().replace("+00:00", "Z")
    raise UsageError(
        f"--until {text} is neither a duration nor a time with its zone.",
        advice=f"Write 4h or 90m, or {example}.",
    )


def outcome(planned: Planned, asked: ScaleOptions) -> str:
    """Return the new state of the override as a sentence."""
    chosen, name = planned.effective, planned.file.name
    if asked.clear:
        return chosen.notes[0] if chosen.ended else f"There is no override on {name}."
    return f"{chosen.notes[0]} To end it sooner: {Command('scale', name, '--clear')}"
