"""The command line of `./run chaos`: run the parts, print tables, write docs/reliability.md."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypeVar

import typer

from chaos import downtime, flow_runs, pairs, replicated, report
from chaos.crashes import CrashRun, Outcome
from chaos.outages import OutageResult, OutageRun
from chaos.scenarios import DONE, SCENARIOS, SLEEPLESS, Scenario, find
from chaos.storms import StormResult, StormRun
from chaos.testbed import Testbed, open_testbed
from chaos.unexpected_errors import describe_error
from helpers.local_daemon import LocalDaemon
from helpers.prefect_versions import NEWEST
from helpers.small_server import build_small_server
from localfly.images.builder import Images
from roost.plan.image import image_reference, read_image_parts

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
PAGE = PROJECT / "docs" / "reliability.md"
PARTS = ("crashes", "storms", "outages", "pairs", "silence", "runs", "replicated")
RUNS, FEWEST = 1000, 12
LONGEST_MIN = 24 * 60
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Stage:
    """The folders, images and limits that the parts share.

    Args:
        folder: the folder for all files of the run.
        cache: the image cache with the small server.
        prefect: the image cache for real Prefect versions.
        jobs: how many scenarios run at once.
        numbers: the numbers for the names of folders.
    """

    folder: Path
    cache: Path
    prefect: Path
    jobs: int
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def each(self, play: Callable[[T], R], things: Mapping[str, T]) -> tuple[list[R], list[str]]:
        """Run all items, several at once; return the results in order, and the errors.

        An exception fails only its own item.
        """
        faults = []

        def guarded(name: str) -> Iterable[R]:
            try:
                return (play(things[name]),)
            except Exception as error:  # noqa: BLE001 - told as a fault, and the others are played
                faults.append(f"{name}: {describe_error(error)}")
                return ()

        with ThreadPoolExecutor(self.jobs) as pool:
            return [found for some in pool.map(guarded, things) for found in some], faults

    def new_folder(self, what: str) -> Path:
        """Return a new folder with a short name, because the paths of sockets are limited."""
        return self.folder / f"{what}-{next(self.numbers)}"

    @contextmanager
    def daemon(self) -> Iterator[LocalDaemon]:
        """Run a local Fly."""
        daemon = LocalDaemon(self.new_folder("fly"), self.cache)
        try:
            yield daemon.start()
        finally:
            daemon.clean()

    @contextmanager
    def place(self, daemon: LocalDaemon) -> Iterator[Testbed]:
        """Return an environment on a local Fly."""
        with open_testbed(self.new_folder("testbed"), daemon, "chaos") as found:
            yield found

    @contextmanager
    def testbed(self) -> Iterator[Testbed]:
        """Return an environment on its own local Fly."""
        with self.daemon() as daemon, self.place(daemon) as found:
            yield found


def main(
    parts: Annotated[
        list[str] | None, typer.Argument(metavar="[PART...]", help=f"Of {', '.join(PARTS)}.")
    ] = None,
    *,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Only scenarios whose name begins so.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Strike one of so many calls.")] = 1,
    storms: Annotated[int, typer.Option(min=1, help="How many a scenario; of outages, too.")] = 8,
    rounds: Annotated[
        int, typer.Option(min=1, help="How many a pair; of silence and of replicated, too.")
    ] = 5,
    seed: Annotated[int, typer.Option(min=1, help="The first storm and round.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="How many flow runs.")] = RUNS,
    minutes: Annotated[
        int, typer.Option(min=1, help="Create no flow run later than after so many.")
    ] = LONGEST_MIN,
    jobs: Annotated[int, typer.Option(min=1, help="So much at once.")] = 2,
    smallest: Annotated[
        bool,
        typer.Option(
            "--smallest",
            help=f"Only {FEWEST} flow runs, and one loss of a part: a check, no figure.",
        ),
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write docs/reliability.md too.")] = False,
) -> None:
    """Run all parts, or the named ones; exit with 1 if anything was lost."""
    chosen = parts or list(PARTS)
    unknown = set(chosen) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"There is no {min(unknown)}; there are {', '.join(PARTS)}.")
    scenarios = find(scenario or [])
    if not scenarios:
        names = ", ".join(s.name for s in SCENARIOS)
        raise typer.BadParameter(f"No scenario begins so; there are {names}.")
    if smallest and write:
        raise typer.BadParameter("Figures of --smallest mean nothing; leave out --write.")
    runs = FEWEST if smallest else runs
    bad = 0
    with open_stage(jobs) as stage:
        players = {
            "crashes": lambda: play_crashes(stage, scenarios, every),
            "storms": lambda: play_storms(stage, scenarios, range(seed, seed + storms)),
            "outages": lambda: play_outages(stage, scenarios, storms, seed),
            "pairs": lambda: play_pairs(stage, range(seed, seed + rounds)),
            "silence": lambda: play_silence(stage, rounds),
            "runs": lambda: play_runs(stage, runs, seed, minutes * 60),
            "replicated": lambda: play_replicated(stage, rounds, smallest=smallest),
        }
        options = {
            "crashes": f"--every {every}" if every > 1 else "",
            "storms": f"--storms {storms} --seed {seed}",
            "outages": f"--storms {storms} --seed {seed}",
            "pairs": f"--rounds {rounds} --seed {seed}",
            "silence": f"--rounds {rounds}",
            "runs": f"--runs {runs} --seed {seed} --jobs {jobs}"
            + (f" --minutes {minutes}" if minutes < LONGEST_MIN else ""),
            "replicated": f"--rounds {rounds}",
        }
        for part in chosen:
            began = time.monotonic()
            text, faults = players[part]()
            typer.echo(f"\n{text}\n")
            show_progress(f"{part} took {time.monotonic() - began:.0f} s")
            for fault in faults:
                show_progress(f"FAULT {fault}")
            bad += len(faults)
            if write and not faults:
                write_section(part, options[part], text)
    if bad:
        show_progress(f"{bad} faults")
        raise typer.Exit(1)


Played = tuple[str, list[str]]


def by_name(scenarios: Iterable[Scenario]) -> dict[str, Scenario]:
    """Return the scenarios by name."""
    return {scenario.name: scenario for scenario in scenarios}


def play_crashes(stage: Stage, scenarios: Sequence[Scenario], every: int) -> Played:
    """Kill an apply at every call of the API."""

    def play(scenario: Scenario) -> Outcome:
        with stage.testbed() as testbed:
            outcome = CrashRun(testbed, scenario, every).run()
        show_progress(f"  {report.crash_line([outcome])}: {scenario.name}")
        return outcome

    outcomes, faults = stage.each(play, by_name(scenarios))
    faults += [fault for outcome in outcomes for fault in outcome.faults]
    return f"{report.crash_table(outcomes)}\n\n{report.crash_line(outcomes)}", faults


def play_storms(stage: Stage, scenarios: Sequence[Scenario], seeds: range) -> Played:
    """Apply while the API fails at random."""

    def play(scenario: Scenario) -> list[StormResult]:
        with stage.testbed() as testbed:
            results = StormRun(testbed, scenario).run(seeds)
        show_progress(f"  {len(results)} storms: {scenario.name}")
        return results

    played, faults = stage.each(play, by_name(scenarios))
    results = [each for some in played for each in some]
    return report.storm_table(results), [*faults, *(str(w) for w in results if w.faults)]


def play_outages(stage: Stage, scenarios: Sequence[Scenario], count: int, seed: int) -> Played:
    """Lose Fly permanently within an apply. This mostly waits, so more scenarios run at once."""

    def play(scenario: Scenario) -> list[OutageResult]:
        with stage.testbed() as testbed:
            return OutageRun(testbed, scenario, seed).run(count)

    things = {name: scenario for name, scenario in by_name(scenarios).items() if scenario.cut}
    played, faults = replace(stage, jobs=2 * stage.jobs).each(play, things)
    cuts = [cut for some in played for cut in some]
    return report.outage_table(cuts), [*faults, *(str(cut) for cut in cuts if cut.faults)]


def play_pairs(stage: Stage, seeds: range) -> Played:
    """Run two commands at once."""

    def play(pair: pairs.Pair | None) -> list[pairs.PairResult]:
        if pair is None:
            return play_sleep(stage, seeds)
        with stage.daemon() as daemon, stage.place(daemon) as one, stage.place(daemon) as other:
            return pairs.play(
                pair.name,
                seeds,
                lambda seed: pairs.run_pair(pair, (one, other), seed),
                one.remove if pair.fresh else lambda: bring_up(one),
            )

    things = {**{pair.name: pair for pair in pairs.PAIRS}, pairs.SLEEP: None}
    played, faults = stage.each(play, things)
    met = [each for some in played for each in some]
    return report.pair_table(met), [*faults, *(str(m) for m in met if m.faults)]


def play_sleep(stage: Stage, seeds: range) -> list[pairs.PairResult]:
    """Change a server that is suspended meanwhile."""
    with stage.testbed() as testbed:
        return pairs.play(
            pairs.SLEEP,
            seeds,
            lambda seed: pairs.apply_during_suspends(testbed, seed),
            lambda: bring_up(testbed),
        )


def bring_up(testbed: Testbed) -> None:
    """Create a server before the faults begin."""
    testbed.remove()
    testbed.write(SLEEPLESS)
    testbed.expect(DONE, "apply")


def play_silence(stage: Stage, rounds: int) -> Played:
    """Measure the downtime of a real server; one at a time, so that nothing disturbs the times."""

    def play(change: downtime.Change) -> downtime.Silence:
        return downtime.measure(change, stage.new_folder("silence"), stage.prefect, rounds)

    changes = {change.name: change for change in downtime.CHANGES}
    silences, faults = replace(stage, jobs=1).each(play, changes)
    return report.silence_table(silences), faults


def play_runs(stage: Stage, count: int, seed: int, limit_s: float) -> Played:
    """Execute flow runs while their server and their flow server are killed and cut off."""
    ref = image_reference("roost-chaos", NEWEST, read_image_parts(DEPLOY, NEWEST))
    server = asyncio.run(Images(stage.prefect).build(DEPLOY, NEWEST, ref)).image
    flows = flow_runs.build_flows(stage.prefect, stage.new_folder("image"))
    began = time.monotonic()
    folder = stage.new_folder("runs")
    party = flow_runs.Party(folder, server, flows, began + limit_s, show_progress)
    shares = flow_runs.share_out(count, stage.jobs, seed)
    tolls, faults = stage.each(
        lambda each: party.play(each, shares[each]), {f"seed {each}": each for each in shares}
    )
    faults += [fault for toll in tolls for fault in toll.faults]
    return report.runs_table(tolls, time.monotonic() - began), faults


def play_replicated(stage: Stage, rounds: int, *, smallest: bool) -> Played:
    """Take the parts of a replicated server away while clients write."""
    strikes = dict(replicated.STRIKES)
    if smallest:
        rounds, strikes = 1, dict(list(strikes.items())[:1])
    folder = stage.new_folder("replicated")
    folder.mkdir()
    found = replicated.play(folder, stage.prefect, strikes, rounds, show_progress)
    return report.replicated_table(found), found.faults()


@contextmanager
def open_stage(jobs: int) -> Iterator[Stage]:
    """Prepare images and folders; keep only the images of Prefect."""
    state = Path(os.environ.get("RUN_STATE") or PROJECT / ".run")
    prefect = Path(os.environ.get("LOCALFLY_CACHE") or state / "images").absolute()
    with TemporaryDirectory(prefix="roost-chaos-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        build_small_server(folder / "small", folder / "cache")
        yield Stage(folder, folder / "cache", prefect, jobs)


def write_section(part: str, options: str, text: str) -> None:
    """Write a part's tables into the page, and keep its other text."""
    page = PAGE.read_text("utf-8")
    opening, begin, rest = page.partition(f"<!-- {part} -->\n")
    _, end, closing = rest.partition(f"<!-- end of {part} -->")
    date = time.strftime("%Y-%m-%d", time.gmtime())
    command = f"./run chaos {part} {options}".strip()
    section = f"`{command}`, {date}, {len(os.sched_getaffinity(0))} cores:\n\n{text}\n\n"
    PAGE.write_text(opening + begin + section + end + closing, "utf-8")
    show_progress(f"Written: {PAGE.relative_to(PROJECT)}")


def show_progress(line: str) -> None:
    """Print progress to standard error."""
    typer.echo(line, err=True)


if __name__ == "__main__":
    # SIGTERM ends like Ctrl-C: every process is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command()(main)
    try:
        program()
    except KeyboardInterrupt:
        sys.exit(130)
