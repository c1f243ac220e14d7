"""Plans as GitHub-flavoured Markdown, for a comment on a pull request.

Names and values come from files and from Fly, so none of them is trusted: each is shown as code or
as plain text, and can neither end a table's row, nor notify anybody, nor bring a link or HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from roost.plan.cost import CostChange
from roost.plan.document import plan_digest
from roost.plan.secrets import told_source
from roost.plan.steps import Plan, Risk, Step
from roost.report.wording import cost_line, counted, one_line, shown, unchecked_line

MARKER = "<!-- roost-plan -->"
"""First line of the comment where nothing has to be remembered in it."""
LIMIT = 60_000
"""GitHub takes 65,536 characters; some are left for what a workflow adds."""
MAX_CHANGES = 30
MANY_STEPS = 8
_RISK = {Risk.MIGRATION: "**migration**", Risk.DATA: "**data**", Risk.DOWNTIME: "**downtime**"}
# What begins something in Markdown stands there as an entity. Mentions and references are found
# in the rendered text, where an entity is no protection; an invisible space after the sign is.
_TEXT = {c: f"&#{ord(c)};" for c in "\\`*_[]|~$"} | {c: f"{c}\u200b" for c in "@#"}
_BLANKS = re.compile(r"\n{3,}")
_LINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp):|(www)\.")


@dataclass(frozen=True)
class PlannedEnvironment:
    """One environment's part of the comment.

    Args:
        plan: the plan; where there is none, one without steps.
        cost: what it costs.
        digest: of a plan that another job made; else it is taken from the plan.
        failure: why there is no plan, where that is so.
        rehearsal: how the rehearsal went, as Markdown of our own.
    """

    plan: Plan
    cost: CostChange | None = None
    digest: str = ""
    failure: str = ""
    rehearsal: str = ""


def plan_comment(planned: Iterable[PlannedEnvironment], first: str = MARKER, room: int = 0) -> str:
    """Write the comment: environments that change by name, then those that do not.

    It stays below GitHub's limit: the last tables give way first, then whole environments.

    Args:
        planned: what to tell of each environment.
        first: the first line, by which the next run finds the comment again.
        room: so many characters are left free for what is added to it.
    """
    entries = sorted(planned, key=lambda entry: entry.plan.environment)
    changing = [entry for entry in entries if _has_news(entry)]
    # A merge approves that their values are set from where this shows that they come from.
    unchecked = [entry for entry in entries if entry.plan.unchecked and not _has_news(entry)]
    quiet = [e.plan.environment for e in entries if not (_has_news(e) or e.plan.unchecked)]
    head = f"{first}\n## Roost plan\n\n{_headline(changing, len(entries))}\n"
    tail = f"\nUnchanged: {_cut_list(quiet)}.\n" if quiet else ""
    return head + _fit([*changing, *unchecked], LIMIT - len(head) - len(tail) - room) + tail


def plan_section(entry: PlannedEnvironment, *, short: bool = False) -> str:
    """Write one environment: its steps with old and new values, cost, warnings and digest."""
    plan = entry.plan
    lines = [f"\n### {code(plan.environment)}: {_verdict(entry)}\n"]
    if entry.failure:
        lines.append(f"- **No plan:** {text(entry.failure)}")
    lines += [
        f"- **Refused** {code(r.key)}: {text(f'{r.what}. {r.advice}')}" for r in plan.refusals
    ]
    if short:
        lines.append(
            f"- Too long for a comment. See it: {code(f'./run roost plan {plan.environment}')}"
        )
    else:
        lines += [f"- **Warning:** {text(warning)}" for warning in plan.warnings]
        lines += _folded(plan.steps) if plan.steps else []
        lines += [f"\n{entry.rehearsal}"] if entry.rehearsal else []
    if plan.unchecked:
        lines.append(f"\n{unchecked_line(list(map(partial(_secret, plan), plan.unchecked)))}")
    if entry.cost:
        lines.append(f"\n{text(cost_line(entry.cost))}")
    if not entry.failure:
        lines.append(f"\nDigest: {code(entry.digest or plan_digest(plan))}")
    return _BLANKS.sub("\n\n", "\n".join(lines) + "\n")


def _secret(plan: Plan, name: str) -> str:
    """Show a secret with where its value comes from."""
    source = plan.sources.get(name)
    if source is None:
        return code(name)
    told = told_source(name, source)
    return f"{code(name)} from {code(told) if told == source else told}"


def code(value: str) -> str:
    """Show a value as code, whatever is in it."""
    line = one_line(value)
    if not line:
        return "`(empty)`"
    if "`" in line or "|" in line:  # no span of backticks holds these safely inside a table
        inside = "".join(c if c.isalnum() else f"&#{ord(c)};" for c in line)
        return f"<code>{inside}</code>"
    return f"`{line}`"


def text(value: str) -> str:
    """Show a sentence as plain text; what we wrote in backticks in it stays code."""
    parts = one_line(value).split("`")
    if len(parts) % 2 == 0:  # not ours: a backtick without its partner
        return _plain("`".join(parts))
    return "".join(code(part) if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(value: str) -> str:
    marked = "".join(_TEXT.get(c, c) for c in html.escape(value, quote=False))
    return _LINK.sub(lambda m: f"{m[1]}&#58;" if m[1] else f"{m[2]}&#46;", marked)


def _has_news(entry: PlannedEnvironment) -> bool:
    plan = entry.plan
    told = entry.failure or entry.rehearsal
    return bool(plan.steps or plan.refusals or plan.warnings or told)


def _verdict(entry: PlannedEnvironment) -> str:
    plan = entry.plan
    if entry.failure:
        return "**could not be planned**"
    if plan.refusals:
        return "cannot be applied"
    steps = counted(len(plan.steps), "step")
    return f"{steps}, risk {_risk(plan.risk)}" if plan.steps else "no changes"


def _headline(changing: Sequence[PlannedEnvironment], total: int) -> str:
    if not total:  # nobody looked at any
        return "No environment changes in this pull request."
    if not changing:
        return "No changes: live is as the files ask."
    risk = max(entry.plan.risk for entry in changing)
    refused = sum(bool(entry.plan.refusals) for entry in changing)
    stop = f" **{counted(refused, 'environment')} cannot be applied.**" if refused else ""
    failed = sum(bool(entry.failure) for entry in changing)
    stop += f" **{counted(failed, 'environment')} could not be planned.**" if failed else ""
    news = "changes or needs" if len(changing) == 1 else "change or need"
    return f"{len(changing)} of {counted(total, 'environment')} {news} attention. Highest risk: {_risk(risk)}.{stop}"


def _risk(risk: Risk) -> str:
    return _RISK.get(risk, risk.word)


def _folded(steps: Sequence[Step]) -> Iterator[str]:
    table = "\n".join(("| step | what changes | risk |", "|---|---|---|", *map(_row, steps)))
    if len(steps) <= MANY_STEPS:
        yield f"\n{table}"
    else:
        yield f"\n<details><summary>{counted(len(steps), 'step')}</summary>\n\n{table}\n\n</details>"


def _row(step: Step) -> str:
    cells = [text(step.summary)]
    cells += [
        f"{code(change.field)}: {code(shown(change.old))} \u2192 {code(shown(change.new))}"
        for change in step.changes[:MAX_CHANGES]
    ]
    if len(step.changes) > MAX_CHANGES:
        cells.append(f"and {len(step.changes) - MAX_CHANGES} more")
    return f"| {code(step.key)} | {'<br>'.join(cells)} | {_risk(step.risk)} |"


def _fit(entries: Sequence[PlannedEnvironment], room: int) -> str:
    """Write the sections in full, the last ones short, or as many as there is room for."""
    full = [plan_section(entry) for entry in entries]
    short = [plan_section(entry, short=True) for entry in entries]
    room -= len(_omitted(len(entries)))
    for kept in range(len(full), -1, -1):
        sections = full[:kept] + short[kept:]
        if sum(map(len, sections)) <= room:
            return "".join(sections)
    return _first(short, room)


def _first(sections: Sequence[str], room: int) -> str:
    written = ""
    for number, section in enumerate(sections):
        if len(written) + len(section) > room:
            return written + _omitted(len(sections) - number)
        written += section
    return written


def _omitted(count: int) -> str:
    return f"\nand {counted(count, 'environment')} more: see the log of this run.\n"


def _cut_list(names: Sequence[str], most: int = 50) -> str:
    listed = ", ".join(code(name) for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
