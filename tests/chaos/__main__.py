"""The command line: play the parts, print tables, and write them into docs/reliability.md."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypeVar

import typer

from chaos import pairs, report, silence
from chaos.crashes import Outcome, Play
from chaos.ground import Ground, open_ground
from chaos.scenarios import SCENARIOS, SLEEPLESS, Scenario, find
from chaos.storms import StormyPlay, Weathered
from helpers.local_daemon import LocalDaemon
from helpers.small_server import build_small_server

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "reliability.md"
PARTS = ("crashes", "storms", "pairs", "silence")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Stage:
    """Where parts are played.

    Args:
        folder: for all they need.
        cache: has the small server's image.
        prefect: the cache that has, or gets, images of Prefect.
        jobs: so much is played at once.
    """

    folder: Path
    cache: Path
    prefect: Path
    jobs: int

    def each(self, play: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Play all of them, some at once, and give what came of each in order."""
        with ThreadPoolExecutor(self.jobs) as pool:
            return list(pool.map(play, things))

    @contextmanager
    def daemon(self, name: str) -> Iterator[LocalDaemon]:
        """Have a local Fly."""
        daemon = LocalDaemon(self.folder / f"fly-{name}".replace(" ", "-"), self.cache)
        try:
            yield daemon.start()
        finally:
            daemon.clean()

    @contextmanager
    def ground(self, name: str) -> Iterator[Ground]:
        """Have a place on a local Fly of its own."""
        with self.daemon(name) as daemon, open_ground(self.folder / name, daemon, "chaos") as found:
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
    storms: Annotated[int, typer.Option(min=1, help="How many a scenario.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="How many a pair; of silence, too.")] = 5,
    seed: Annotated[int, typer.Option(min=1, help="The first storm and round.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="So much at once.")] = 2,
    write: Annotated[bool, typer.Option("--write", help="Write docs/reliability.md too.")] = False,
) -> None:
    """Kill, lose, storm and meet: all parts, or those named. Ends with 1 when anything is lost."""
    chosen = parts or list(PARTS)
    unknown = set(chosen) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"There is no {min(unknown)}; there are {', '.join(PARTS)}.")
    scenarios = find(scenario or [])
    if not scenarios:
        names = ", ".join(s.name for s in SCENARIOS)
        raise typer.BadParameter(f"No scenario begins so; there are {names}.")
    bad = 0
    with open_stage(jobs) as stage:
        players = {
            "crashes": lambda: play_crashes(stage, scenarios, every),
            "storms": lambda: play_storms(stage, scenarios, range(seed, seed + storms)),
            "pairs": lambda: play_pairs(stage, range(seed, seed + rounds)),
            "silence": lambda: play_silence(stage, rounds),
        }
        options = {
            "crashes": f"--every {every}" if every > 1 else "",
            "storms": f"--storms {storms} --seed {seed}",
            "pairs": f"--rounds {rounds} --seed {seed}",
            "silence": f"--rounds {rounds}",
        }
        for part in chosen:
            began = time.monotonic()
            text, faults = players[part]()
            typer.echo(f"\n{text}\n")
            tell(f"{part} took {time.monotonic() - began:.0f} s")
            for fault in faults:
                tell(f"FAULT {fault}")
            bad += len(faults)
            if write and not faults:
                write_section(part, options[part], text)
    if bad:
        tell(f"{bad} faults")
        raise typer.Exit(1)


Played = tuple[str, list[str]]


def play_crashes(stage: Stage, scenarios: Sequence[Scenario], every: int) -> Played:
    """Kill an apply at every call."""

    def play(scenario: Scenario) -> Outcome:
        with stage.ground(scenario.name) as ground:
            outcome = Play(ground, scenario, every).run()
        tell(f"  {report.crash_line([outcome])}: {scenario.name}")
        return outcome

    outcomes = stage.each(play, scenarios)
    faults = [f"{o.scenario.name}, {point}" for o in outcomes for point in o.failed]
    faults += [f"{o.scenario.name}: {o.lost} rows lost" for o in outcomes if o.lost]
    return f"{report.crash_table(outcomes)}\n\n{report.crash_line(outcomes)}", faults


def play_storms(stage: Stage, scenarios: Sequence[Scenario], seeds: range) -> Played:
    """Apply in bad weather."""

    def play(scenario: Scenario) -> list[Weathered]:
        with stage.ground(scenario.name) as ground:
            weathered = StormyPlay(ground, scenario).run(seeds)
        tell(f"  {len(weathered)} storms: {scenario.name}")
        return weathered

    weathered = [each for some in stage.each(play, scenarios) for each in some]
    return report.storm_table(weathered), [str(w) for w in weathered if w.faults]


def play_pairs(stage: Stage, seeds: range) -> Played:
    """Have two act at once."""

    def play(pair: pairs.Pair | None) -> list[pairs.Met]:
        if pair is None:
            return play_sleep(stage, seeds)
        with (
            stage.daemon(pair.name) as daemon,
            open_ground(stage.folder / f"{pair.name} 1", daemon, "chaos") as one,
            open_ground(stage.folder / f"{pair.name} 2", daemon, "chaos") as other,
        ):
            if not pair.fresh:
                bring_up(one)
            return [pairs.meet(pair, (one, other), seed) for seed in seeds]

    met = [each for some in stage.each(play, (*pairs.PAIRS, None)) for each in some]
    return report.pair_table(met), [str(m) for m in met if m.faults]


def play_sleep(stage: Stage, seeds: range) -> list[pairs.Met]:
    """Have a server that goes to sleep while it is changed."""
    with stage.ground("sleep") as ground:
        bring_up(ground)
        return [pairs.meet_sleep(ground, seed) for seed in seeds]


def bring_up(ground: Ground) -> None:
    """Have a server before anything happens to it."""
    ground.write(SLEEPLESS)
    ground.run("apply")


def play_silence(stage: Stage, rounds: int) -> Played:
    """Watch a real server from outside; one at a time, so that nothing disturbs the times."""
    silences = [
        silence.measure(change, stage.folder / f"silence-{number}", stage.prefect, rounds)
        for number, change in enumerate(silence.CHANGES)
    ]
    return report.silence_table(silences), []


@contextmanager
def open_stage(jobs: int) -> Iterator[Stage]:
    """Build what is needed; leave nothing but images of Prefect behind."""
    prefect = Path(os.environ.get("LOCALFLY_CACHE") or PROJECT / ".run" / "images").absolute()
    with TemporaryDirectory(prefix="roost-chaos-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        build_small_server(folder / "small", folder / "cache")
        yield Stage(folder, folder / "cache", prefect, jobs)


def write_section(part: str, options: str, text: str) -> None:
    """Put a part's tables into the page; what people wrote there stays."""
    page = PAGE.read_text("utf-8")
    opening, begin, rest = page.partition(f"<!-- {part} -->\n")
    _, end, closing = rest.partition(f"<!-- end of {part} -->")
    date = time.strftime("%Y-%m-%d", time.gmtime())
    command = f"./run chaos {part} {options}".strip()
    said = f"`{command}`, {date}, {len(os.sched_getaffinity(0))} cores:\n\n{text}\n\n"
    PAGE.write_text(opening + begin + said + end + closing, "utf-8")
    tell(f"Written: {PAGE.relative_to(PROJECT)}")


def tell(line: str) -> None:
    """Say what happens, beside the results."""
    typer.echo(line, err=True)


if __name__ == "__main__":
    # A polite kill ends as Ctrl-C does: every process is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command()(main)
    try:
        program()
    except KeyboardInterrupt:
        sys.exit(130)
