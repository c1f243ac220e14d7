"""Plans as GitHub-flavoured Markdown, for a comment on a pull request.

Names and values come from files and from Fly, so none of them is trusted: each is shown as code or
as plain text, and can neither end a table's row, nor notify anybody, nor bring a link or HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from roost.plan.approval import sealed_fields
from roost.plan.cost import CostChange
from roost.plan.document import canonical, plan_digest
from roost.plan.secrets import FIELD, told_source
from roost.plan.steps import Plan, Risk, Step
from roost.report.wording import (
    cost_line,
    counted,
    hash_of_all,
    one_line,
    shown,
    shown_whole,
    spelled,
    spelled_short,
    unchecked_line,
)

LIMIT = 60_000
"""GitHub takes 65,536 characters; some are left for what a workflow adds."""
LONGEST_APPROVALS = 30_000
"""The first line of the comment holds what is approved; so many characters of it."""
LONGEST_QUIET = 8_000
MAX_CHANGES = 30
FEWEST_CHANGES = 8
"""So many lines of a step are shown where there is no room for more."""
MANY_STEPS = 8
PLAN_HEADING = "## Roost plan"
TABLE_HEAD = "| step | what changes | risk |"
TABLE_RULE = "|---|---|---|"
SOURCES = "sources"
"""The field of a step that says where the values of its secrets come from."""
_BREAK = "<br>"
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


@dataclass(frozen=True)
class Layout:
    """What a comment says, below its first line.

    Args:
        text: the Markdown.
        whole: the environments whose plan is in it; what is cut there has its hash.
    """

    text: str
    whole: frozenset[str]


@dataclass(frozen=True)
class Detail:
    """How much of a plan a section shows.

    Args:
        most: lines of a step; None for all, with every value whole.
        rehearsal: whether the rehearsal is shown, or only named.
    """

    most: int | None = MAX_CHANGES
    rehearsal: bool = True


WHOLE = Detail(most=None)
"""For the page of a run, which has more room."""
_DETAILS = (Detail(), Detail(rehearsal=False), Detail(FEWEST_CHANGES, rehearsal=False))


def lay_out(
    planned: Iterable[PlannedEnvironment],
    approvals: Mapping[str, int] | None = None,
    *,
    room: int = LIMIT,
    run_url: str = "",
) -> Layout:
    """Write the comment: environments that change by name, then those that do not.

    It stays below the limit: first the rehearsals give way, then lines of each step, which leave
    their hash, and then whole environments, which are listed.

    Args:
        planned: what to tell of each environment.
        approvals: by environment, how many characters the first line needs to approve it.
        room: characters for all of it, the approvals included.
        run_url: where what is cut here is shown whole.
    """
    entries = sorted(planned, key=lambda entry: entry.plan.environment)
    changing = [entry for entry in entries if _has_news(entry)]
    # A merge approves that their values are set from where this shows that they come from.
    unchecked = [entry for entry in entries if entry.plan.unchecked and not _has_news(entry)]
    others = [entry for entry in entries if not (_has_news(entry) or entry.plan.unchecked)]
    sizes = approvals or {}
    head = f"{PLAN_HEADING}\n\n{_headline(changing, len(entries))}\n{_whole_at(changing, run_url)}"
    quiet = _Quiet.of([entry.plan.environment for entry in others], sizes)
    left = room - len(head) - len(quiet.text) - quiet.size
    found = _fit([*changing, *unchecked], sizes, left, quiet.size, run_url)
    return Layout(head + found.text + quiet.text, found.whole | quiet.whole)


def plan_section(entry: PlannedEnvironment, detail: Detail = Detail()) -> str:
    """Write one environment: its steps with old and new values, cost, warnings and digest."""
    plan = entry.plan
    lines = [f"\n{section_start(plan)}{_verdict(entry)}\n"]
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
        lines.append(f"\nDigest: {code(_digest(entry))}")
    return _BLANKS.sub("\n\n", "\n".join(lines) + "\n")


def section_start(plan: Plan) -> str:
    """Return what the heading of an environment's section begins with."""
    return f"{environment_start(plan.environment)}{_app(plan)}: "


def environment_start(environment: str) -> str:
    """Return what the heading of an environment's section begins with, whatever its app."""
    return f"### {code(environment)}"


def _secret(plan: Plan, name: str) -> str:
    source = plan.sources.get(name)
    return code(name) if source is None else unchecked_secret(name, source)


def unchecked_secret(name: str, source: str) -> str:
    """Show a secret that was not checked, with where its value comes from."""
    told = told_source(name, source)
    return f"{code(name)} from {code(told) if told == source else told}"


_NO_ROOM_FOR_REHEARSAL = "**Rehearsal:** there is no room for it here; see its job in the run."


def _digest(entry: PlannedEnvironment) -> str:
    return entry.digest or plan_digest(entry.plan)


def _app(plan: Plan) -> str:
    return f" (app {code(plan.app)})" if plan.app else ""


def _whole_at(changing: Sequence[PlannedEnvironment], run_url: str) -> str:
    """Return where people find what is cut in the comment."""
    if not any(entry.plan.steps for entry in changing):
        return ""
    return f"\nWhat is cut here is given with its sha256, and stands whole in {_page(run_url)}.\n"


def _page(run_url: str) -> str:
    words = "the summary of the run"
    return f"[{words}]({run_url})" if is_plain_url(run_url) else words


def is_plain_url(url: str) -> bool:
    """Whether an address can stand in a link: what GitHub gives as a run's address can."""
    return re.fullmatch(r"https?://[A-Za-z0-9._:/-]+", url) is not None


def code(value: str) -> str:
    """Show a value as code, whatever is in it."""
    return _span(spelled(value))


def short_code(value: str, most: int) -> str:
    """Show a name as code; one that is too long is cut, with its length and its hash."""
    return _span(spelled_short(value, most))


def value_code(value: Any, *, whole: bool = False) -> str:
    """Show a value of a plan as code: two values that differ look different."""
    return _span(shown_whole(value) if whole else shown(value))


def _span(line: str) -> str:
    if "`" in line or "|" in line:  # no span of backticks holds these safely inside a table
        inside = "".join(c if c.isalnum() else f"&#{ord(c)};" for c in line)
        return f"<code>{inside}</code>"
    return f"`{line}`"


def text(value: str) -> str:
    """Show a sentence as plain text; what we wrote in backticks in it stays code."""
    line = one_line(value)
    parts = line.split("`")
    if len(parts) % 2 == 0 or "``" in line:  # not ours: a backtick without its partner
        return _plain(line)
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


def _folded(steps: Sequence[Step], most: int | None) -> Iterator[str]:
    rows = (_row(step, most) for step in steps)
    table = "\n".join((TABLE_HEAD, TABLE_RULE, *rows))
    if len(steps) <= MANY_STEPS:
        yield f"\n{table}"
    else:
        yield f"\n<details><summary>{counted(len(steps), 'step')}</summary>\n\n{table}\n\n</details>"


def _row(step: Step, most: int | None) -> str:
    cells = [text(step.summary), *_boots(step), *_sealed_cells(step, most)]
    return f"{row_start(step.key)}{_BREAK.join(cells)} | {_risk(step.risk)} |"


def row_start(key: str) -> str:
    """Return what the row of a step begins with, before its summary."""
    return f"| {code(key)} | "


def row_ends(step: Step) -> frozenset[str]:
    """Return what the row of a step can end with: all that its seal covers, and the risk.

    There is one for each layout and risk. What stands before it are the summary and the lines of
    `boot_start`.
    """
    return frozenset(
        f"{_BREAK}{_BREAK.join(_sealed_cells(step, detail.most))} | {_risk(risk)} |"
        for detail in _DETAILS
        for risk in Risk
    )


def boot_start() -> str:
    """Return what the line of a row begins with that says why a machine boots for its secrets."""
    return f"{code(FIELD)}: "


def secret_cell(name: str, source: str) -> str:
    """Return the line of a row that says where the value of a secret to be set comes from."""
    [line] = _spread(SOURCES, {name: source})
    return line.written(whole=False)


def _sealed_cells(step: Step, most: int | None) -> list[str]:
    """Write what the seal of a step covers. It is the same for the same seal, whatever the wording."""
    lines, rest = list(_lines(step)), list(_rest(step))
    if most is None or not step.changes:
        lines, rest = [*lines, *rest], []
    if SOURCES in step.own:  # which of them is set is known only at the deploy, so each is shown
        most = None if most is None else len(lines)
    kept = lines[:most]
    cells = [line.written(whole=most is None) for line in kept]
    if left := lines[len(kept) :]:
        cells.append(f"and {len(left)} more, sha256 {code(_hash(left))}")
    if rest:  # what is sent beside the changes is no news
        cells.append(f"all that is sent: sha256 {code(_hash(rest))}")
    return cells


def _boots(step: Step) -> Iterator[str]:
    """Return why a machine boots for its secrets; that follows from other steps and is not sealed."""
    for change in step.changes:
        if change.field == FIELD:
            yield _Line(FIELD, (change.old, change.new)).written(whole=False)


@dataclass(frozen=True)
class _Line:
    """One field of a step: from an old value to a new one, or just what it is."""

    field: str
    values: tuple[Any, ...]

    def written(self, *, whole: bool) -> str:
        values = " \u2192 ".join(value_code(value, whole=whole) for value in self.values)
        return f"{code(self.field)}: {values}"


def _hash(lines: Iterable[_Line]) -> str:
    return hash_of_all((line.field, *line.values) for line in lines)


def _lines(step: Step) -> Iterator[_Line]:
    """List what a step changes."""
    changes = (change for change in step.changes if change.field != FIELD)
    return (_Line(change.field, (change.old, change.new)) for change in changes)


def _rest(step: Step) -> Iterator[_Line]:
    """List what a step sends beside its changes: a merge approves that as well."""
    listed = {(change.field, canonical(change.new)) for change in step.changes}
    for name, value in sealed_fields(step).items():
        if (name, canonical(value)) not in listed:
            yield from [_Line(name, (value,))] if step.changes else _spread(name, value)


_SPREAD = frozenset({"config", "config.env", "fields", SOURCES})
"""Maps of what is created, of which each entry is a line."""


def _spread(name: str, value: Any) -> Iterator[_Line]:
    if name not in _SPREAD or not isinstance(value, dict) or not value:
        yield _Line(name, (value,))
        return
    for key, inner in value.items():
        yield from _spread(f"{name}{_below(key)}", inner)


def _below(key: str) -> str:
    return f".{key}" if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f"[{shown_whole(key)}]"


@dataclass(frozen=True)
class _Quiet:
    """What is told of environments in which nothing changes.

    Args:
        text: the Markdown.
        size: characters that the first line needs for them.
        whole: those that the first line has room for.
    """

    text: str
    size: int
    whole: frozenset[str]

    @classmethod
    def of(cls, names: Sequence[str], sizes: Mapping[str, int]) -> _Quiet:
        """Choose, in their order, as many as there is room for."""
        used, kept = 0, []
        for name in names:
            if used + sizes.get(name, 0) <= LONGEST_QUIET:
                used += sizes.get(name, 0)
                kept.append(name)
        written = f"\nUnchanged: {_cut_list(names)}.\n" if names else ""
        return cls(written, used, frozenset(kept))


@dataclass(frozen=True)
class _Offer:
    """What one environment would take of the comment: its section, and characters of the first line."""

    entry: PlannedEnvironment
    section: str
    size: int


def _fit(
    entries: Sequence[PlannedEnvironment],
    sizes: Mapping[str, int],
    room: int,
    used: int,
    run_url: str,
) -> Layout:
    """Write as much of each as there is room for; what there is none for is listed."""
    offers: list[_Offer] = []
    for detail in _DETAILS:
        offers = [
            _Offer(entry, plan_section(entry, detail), sizes.get(entry.plan.environment, 0))
            for entry in entries
        ]
        approvals = sum(offer.size for offer in offers)
        whole = sum(len(offer.section) for offer in offers) + approvals
        if whole <= room and approvals + used <= LONGEST_APPROVALS:
            names = frozenset(entry.plan.environment for entry in entries)
            return Layout("".join(offer.section for offer in offers), names)
    return _choose(offers, room, LONGEST_APPROVALS - used, run_url)


def _choose(offers: Sequence[_Offer], room: int, approvals: int, run_url: str) -> Layout:
    """Take environments in their order while they fit, and list the others: nobody approves those."""
    head = _left_head(run_url)
    rows = {offer.entry.plan.environment: _left_row(offer.entry) for offer in offers}
    list_room = min(sum(map(len, rows.values())), room // 2)
    room -= len(head) + list_room
    kept: dict[str, str] = {}
    for offer in offers:
        needed = len(offer.section) + offer.size
        if needed <= room and offer.size <= approvals:
            kept[offer.entry.plan.environment] = offer.section
            room -= needed
            approvals -= offer.size
    left = [row for name, row in rows.items() if name not in kept]
    listed = _first(left, list_room + room)
    return Layout("".join(kept.values()) + head + listed, frozenset(kept))


def _left_head(run_url: str) -> str:
    return (
        "\n### Not approved by a merge\n\n"
        "There is no room in this comment for the plans of these environments, so merging does not "
        f"approve them. To deploy one after the merge: read its plan in {_page(run_url)}, then run "
        "the workflow Deploy for it with this digest.\n\n"
        "| environment | plan | digest |\n|---|---|---|\n"
    )


def _left_row(entry: PlannedEnvironment) -> str:
    digest = "" if entry.failure or entry.plan.refusals else code(_digest(entry))
    return f"| {code(entry.plan.environment)} | {_verdict(entry)} | {digest} |\n"


def _first(rows: Sequence[str], room: int) -> str:
    room -= len(_omitted(len(rows)))
    written = ""
    for number, row in enumerate(rows):
        if len(written) + len(row) > room:
            return written + _omitted(len(rows) - number)
        written += row
    return written


def _omitted(count: int) -> str:
    return f"\nand {counted(count, 'environment')} more: see the summary of the run.\n"


def _cut_list(names: Sequence[str], most: int = 50) -> str:
    listed = ", ".join(code(name) for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
