"""Format the results as tables for a terminal and for docs/reliability.md. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.crashes import Moment, Outcome, Point
from chaos.downtime import Silence
from chaos.flow_runs import FAULTS, Toll, Trouble, Verdict
from chaos.outages import OutageResult
from chaos.pairs import BOTH, ONE, PairResult
from chaos.replicated import Blow, Round
from chaos.storms import STOPPED, StormResult, count_ends

KILLED = (Moment.BEFORE, Moment.AFTER)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown with aligned columns."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in cells
    ]
    rule = f"| {' | '.join('-' * width for width in widths)} |"
    return "\n".join([lines[0], rule, *lines[1:]])


def crash_table(outcomes: Sequence[Outcome]) -> str:
    """Return the table of crash points and lost responses."""
    head = (
        *("scenario", "crash points", "converged", "answers lost", "converged"),
        *("unaided", "rows acknowledged", "rows lost"),
    )
    return table(head, (_crash_row(outcome) for outcome in outcomes))


def _crash_row(outcome: Outcome) -> Sequence[object]:
    killed, lost = outcome.of(*KILLED), outcome.of(Moment.LOST)
    return (
        outcome.scenario.name,
        len(killed),
        sum(point.converged for point in killed),
        len(lost),
        sum(point.converged for point in lost),
        sum(point.unaided for point in lost),
        outcome.acknowledged or "-",
        outcome.lost if outcome.acknowledged else "-",
    )


def crash_line(outcomes: Sequence[Outcome]) -> str:
    """Return the result of a scenario in one sentence."""
    rows, lost = sum(o.acknowledged for o in outcomes), sum(o.lost for o in outcomes)
    parts = (
        tell_points("crash points", [p for o in outcomes for p in o.of(*KILLED)]),
        tell_points("lost answers", [p for o in outcomes for p in o.of(Moment.LOST)]),
        f"{rows} acknowledged rows, {lost} lost",
    )
    return "; ".join(parts)


def tell_points(what: str, points: Sequence[Point]) -> str:
    """Return the number of points, and how many converged."""
    return f"{len(points)} {what}, {sum(point.converged for point in points)} converged"


def storm_table(results: Sequence[StormResult]) -> str:
    """Return the table of runs with API faults."""
    names = dict.fromkeys(w.scenario.name for w in results)
    head = ("scenario", "storms", "troubles", "done", "rolled back", "stopped", "sound afterwards")
    return table(head, (_storm_row(n, [w for w in results if w.scenario.name == n]) for n in names))


def _storm_row(name: str, results: list[StormResult]) -> Sequence[object]:
    ends = count_ends(results)
    return (
        name,
        len(results),
        sum(w.troubles for w in results),
        *(ends[end] for end in ("done", "rolled back", "stopped")),
        sum(not w.faults for w in results),
    )


def outage_table(cuts: Sequence[OutageResult]) -> str:
    """Return the table of runs with an outage."""
    head = ("Fly", "runs", "done", "stopped", "longest", "sound afterwards")
    kinds = dict.fromkeys(cut.kind for cut in cuts)
    return table(head, (_outage_row(k, [c for c in cuts if c.kind == k]) for k in kinds))


def _outage_row(kind: str, cuts: list[OutageResult]) -> Sequence[object]:
    ends = [cut.end for cut in cuts]
    return (
        kind,
        len(cuts),
        ends.count("done"),
        ends.count(STOPPED),
        f"{max(cut.seconds for cut in cuts):.0f} s",
        sum(not cut.faults for cut in cuts),
    )


def pair_table(met: Sequence[PairResult]) -> str:
    """Return the table of concurrent runs."""
    names = dict.fromkeys(m.name for m in met)
    head = ("who", "rounds", "both, in turn", "one, the other stopped", "sound afterwards")
    return table(head, (_pair_row(n, [m for m in met if m.name == n]) for n in names))


def _pair_row(name: str, met: list[PairResult]) -> Sequence[object]:
    ends = [m.end for m in met]
    return (name, len(met), ends.count(BOTH), ends.count(ONE), sum(not m.faults for m in met))


def silence_table(silences: Sequence[Silence]) -> str:
    """Return the table of downtimes."""
    head = ("change", "roost apply", "by hand", "ratio")
    return table(head, map(_silence_row, silences))


def _silence_row(silence: Silence) -> Sequence[object]:
    ours, hand = silence.medians
    if hand is None:
        return silence.change.name, f"{ours:.2f} s", "-", "-"
    return silence.change.name, f"{ours:.2f} s", f"{hand:.2f} s", f"{ours / hand:.2f}"


def runs_table(tolls: Sequence[Toll], seconds: float) -> str:
    """Return what became of flow runs, and what was done to their machines.

    Args:
        tolls: of the pairs of machines, one row each; several have a sum.
        seconds: how long they took, side by side.
    """
    ended = [verdict for verdict in Verdict if verdict not in FAULTS]
    columns = (*ended, *FAULTS)
    head = ("seed", "flow runs", "killed", "executions", *(each.value for each in columns))
    counts = [
        (toll.runs, toll.killed, toll.executions, *(toll.verdicts[each] for each in columns))
        for toll in tolls
    ]
    rows = [(str(toll.seed), *row) for toll, row in zip(tolls, counts, strict=True)]
    if len(rows) > 1:
        rows.append(("all", *map(sum, zip(*counts, strict=True))))
    troubles = sum((toll.troubles for toll in tolls), Counter[Trouble]())
    told = ", ".join(f"{each.value}: {troubles[each]}" for each in Trouble)
    return f"{table(head, rows)}\n\nTroubles: {told}. {seconds / 60:.0f} minutes."


def replicated_table(found: Round) -> str:
    """Return what became of writes while parts of a replicated server were away, and of schedules."""
    head = (
        *("what happens", "times", "writes", "lost", "failed in the end", "there twice"),
        *("longest write", "a new schedule's first run"),
    )
    names = dict.fromkeys(blow.name for blow in found.blows)
    rows = [_blow_row(name, [b for b in found.blows if b.name == name]) for name in names]
    line = f"Of {found.runs} runs that schedules made, {len(found.twice)} were made twice."
    return f"{table(head, rows)}\n\n{line}"


def _blow_row(name: str, blows: Sequence[Blow]) -> Sequence[object]:
    return (
        *(name, len(blows), sum(len(blow.writes) for blow in blows)),
        *(sum(len(blow.lost) for blow in blows), sum(len(blow.failed) for blow in blows)),
        sum(len(blow.repeated) for blow in blows),
        f"{max(blow.longest_s for blow in blows):.1f} s",
        f"{max(blow.late_s for blow in blows):.0f} s",
    )
