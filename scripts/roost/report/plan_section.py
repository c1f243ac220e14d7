"""One environment's plan as a section of Markdown, for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from roost.plan.cost import CostChange
from roost.plan.document import plan_digest
from roost.plan.secrets import source_text
from roost.plan.steps import Plan, Step
from roost.report.markdown import code, text
from roost.report.plan_rows import (
    FEWEST_CHANGES,
    MAX_CHANGES,
    TABLE_HEAD,
    TABLE_RULE,
    risk_text,
    step_row,
)
from roost.report.wording import cost_line, counted, unchecked_line

MANY_STEPS = 8
_BLANKS = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class PlannedEnvironment:
    """One environment's part of the comment.

    Args:
        plan: the plan; an empty one if planning failed.
        cost: its cost.
        digest: the digest of a plan that another job made; if empty, it is computed.
        failure: why planning failed.
        rehearsal: the result of the rehearsal, as trusted Markdown.
    """

    plan: Plan
    cost: CostChange | None = None
    digest: str = ""
    failure: str = ""
    rehearsal: str = ""


@dataclass(frozen=True)
class Detail:
    """How much of a plan a section shows.

    Args:
        most: lines of a step; None for all, with every value in full length.
        rehearsal: whether the result of the rehearsal is shown, or only mentioned.
    """

    most: int | None = MAX_CHANGES
    rehearsal: bool = True


WHOLE = Detail(most=None)
"""For the summary of a run, which has more room."""
DETAILS = (Detail(), Detail(rehearsal=False), Detail(FEWEST_CHANGES, rehearsal=False))


def plan_section(entry: PlannedEnvironment, detail: Detail = Detail()) -> str:
    """Write one environment: its steps with old and new values, cost, warnings and digest."""
    plan = entry.plan
    lines = [f"\n{section_start(plan)}{verdict(entry)}\n"]
    if entry.failure:
        lines.append(f"- **No plan:** {text(entry.failure)}")
    lines += [
        f"- **Refused** {code(r.key)}: {text(f'{r.what}. {r.advice}')}" for r in plan.refusals
    ]
    lines += [f"- **Warning:** {text(warning)}" for warning in plan.warnings]
    lines += _folded(plan.steps, detail.most) if plan.steps else []
    if entry.rehearsal:
        kept = entry.rehearsal if detail.rehearsal else _NO_ROOM_FOR_REHEARSAL
        lines.append(f"\n{kept}")
    if plan.unchecked:
        lines.append(f"\n{unchecked_line(list(map(partial(_secret, plan), plan.unchecked)))}")
    if entry.cost:
        lines.append(f"\n{text(cost_line(entry.cost))}")
    if not entry.failure:
        lines.append(f"\nDigest: {code(digest_of(entry))}")
    return _BLANKS.sub("\n\n", "\n".join(lines) + "\n")


def section_start(plan: Plan) -> str:
    """Return the beginning of the heading of an environment's section."""
    return f"{environment_start(plan.environment)}{_app(plan)}: "


def environment_start(environment: str) -> str:
    """Return the beginning of the heading of an environment's section, for any app."""
    return f"### {code(environment)}"


def _secret(plan: Plan, name: str) -> str:
    source = plan.sources.get(name)
    return code(name) if source is None else unchecked_secret(name, source)


def unchecked_secret(name: str, source: str) -> str:
    """Return a secret that was not checked, with the source of its value."""
    words = source_text(name, source)
    return f"{code(name)} from {code(words) if words == source else words}"


_NO_ROOM_FOR_REHEARSAL = "**Rehearsal:** there is no room for it here; see its job in the run."


def digest_of(entry: PlannedEnvironment) -> str:
    """Return the digest of a plan, which a deploy by hand asks for."""
    return entry.digest or plan_digest(entry.plan)


def _app(plan: Plan) -> str:
    return f" (app {code(plan.app)})" if plan.app else ""


def has_news(entry: PlannedEnvironment) -> bool:
    """Return whether a reader has to look at this environment."""
    plan = entry.plan
    return bool(plan.steps or plan.refusals or plan.warnings or entry.failure or entry.rehearsal)


def verdict(entry: PlannedEnvironment) -> str:
    """Summarise a plan in a few words: its steps and risk, or why it cannot be applied."""
    plan = entry.plan
    if entry.failure:
        return "**could not be planned**"
    if plan.refusals:
        return "cannot be applied"
    steps = counted(len(plan.steps), "step")
    return f"{steps}, risk {risk_text(plan.risk)}" if plan.steps else "no changes"


def _folded(steps: Sequence[Step], most: int | None) -> Iterator[str]:
    rows = (step_row(step, most) for step in steps)
    table = "\n".join((TABLE_HEAD, TABLE_RULE, *rows))
    if len(steps) <= MANY_STEPS:
        yield f"\n{table}"
    else:
        yield f"\n<details><summary>{counted(len(steps), 'step')}</summary>\n\n{table}\n\n</details>"
