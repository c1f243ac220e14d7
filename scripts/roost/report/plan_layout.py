"""The plans of all environments as one comment, within the length that GitHub takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from roost.report.markdown import code, is_plain_url
from roost.report.plan_rows import risk_text
from roost.report.plan_section import (
    DETAILS,
    PlannedEnvironment,
    digest_of,
    has_news,
    plan_section,
    verdict,
)
from roost.report.wording import counted

LIMIT = 60_000
"""GitHub allows 65,536 characters; the rest is left for what a workflow adds."""
LONGEST_APPROVALS = 30_000
"""Characters of the first line for the approvals."""
LONGEST_UNCHANGED = 8_000
PLAN_HEADING = "## Roost plan"


@dataclass(frozen=True)
class Layout:
    """A comment below its first line.

    Args:
        text: the Markdown.
        whole: the environments whose plan it shows; cut values have their hash.
    """

    text: str
    whole: frozenset[str]


def lay_out(
    planned: Iterable[PlannedEnvironment],
    approvals: Mapping[str, int] | None = None,
    *,
    room: int = LIMIT,
    run_url: str = "",
) -> Layout:
    """Write the comment: environments that change, sorted by name, then the others.

    To stay below the limit, it drops first the rehearsals, then lines of each step, which leave their
    hash, and last whole environments, which are then only listed.

    Args:
        planned: the plan of each environment.
        approvals: by environment, the characters that its approval takes in the first line.
        room: characters for the comment, approvals included.
        run_url: the run whose summary shows everything in full length.
    """
    entries = sorted(planned, key=lambda entry: entry.plan.environment)
    changing = [entry for entry in entries if has_news(entry)]
    # A merge also approves the sources that are shown for these secrets, so they need a section.
    unchecked = [entry for entry in entries if entry.plan.unchecked and not has_news(entry)]
    others = [entry for entry in entries if not (has_news(entry) or entry.plan.unchecked)]
    sizes = approvals or {}
    head = f"{PLAN_HEADING}\n\n{_headline(changing, len(entries))}\n{_whole_at(changing, run_url)}"
    unchanged = _Unchanged.of([entry.plan.environment for entry in others], sizes)
    left = room - len(head) - len(unchanged.text) - unchanged.size
    found = _fit([*changing, *unchecked], sizes, left, unchanged.size, run_url)
    return Layout(head + found.text + unchanged.text, found.whole | unchanged.whole)


def _whole_at(changing: Sequence[PlannedEnvironment], run_url: str) -> str:
    """Return a line about cut values, if the comment shows steps."""
    if not any(entry.plan.steps for entry in changing):
        return ""
    return f"\nA value that is cut here has its sha256; {_page(run_url)} shows it in full.\n"


def _page(run_url: str) -> str:
    words = "the summary of the run"
    return f"[{words}]({run_url})" if is_plain_url(run_url) else words


def _headline(changing: Sequence[PlannedEnvironment], total: int) -> str:
    if not total:  # the pull request touches none
        return "No environment changes in this pull request."
    if not changing:
        return "No changes: live matches the files."
    risk = max(entry.plan.risk for entry in changing)
    refused = sum(bool(entry.plan.refusals) for entry in changing)
    stop = f" **{counted(refused, 'environment')} cannot be applied.**" if refused else ""
    failed = sum(bool(entry.failure) for entry in changing)
    stop += f" **{counted(failed, 'environment')} could not be planned.**" if failed else ""
    news = "changes or needs" if len(changing) == 1 else "change or need"
    return f"{len(changing)} of {counted(total, 'environment')} {news} attention. Highest risk: {risk_text(risk)}.{stop}"


@dataclass(frozen=True)
class _Unchanged:
    """The line about environments without changes.

    Args:
        text: the Markdown.
        size: characters that their approvals take in the first line.
        whole: the environments whose approvals fit into it.
    """

    text: str
    size: int
    whole: frozenset[str]

    @classmethod
    def of(cls, names: Sequence[str], sizes: Mapping[str, int]) -> _Unchanged:
        """Take environments in their order, as many as there is room for."""
        used, kept = 0, []
        for name in names:
            if used + sizes.get(name, 0) <= LONGEST_UNCHANGED:
                used += sizes.get(name, 0)
                kept.append(name)
        written = f"\nUnchanged: {_cut_list(names)}.\n" if names else ""
        return cls(written, used, frozenset(kept))


@dataclass(frozen=True)
class _Offer:
    """The section of one environment, and the characters of its approval in the first line."""

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
    """Write the sections with the most detail that fits; list those that do not fit at all."""
    offers: list[_Offer] = []
    for detail in DETAILS:
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
    """Take environments in their order while they fit; list the others, which no merge approves."""
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
    digest = "" if entry.failure or entry.plan.refusals else code(digest_of(entry))
    return f"| {code(entry.plan.environment)} | {verdict(entry)} | {digest} |\n"


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
