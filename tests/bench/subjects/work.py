"""Measure how long a run takes that is started while everything sleeps."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from bench.flow_runs import Took, press_run
from bench.lab import Lab
from bench.served import Pair, Served, always_on, sleeping_pair
from bench.stats import Aim, Limit, Row, Sample, Table, Unit
from helpers.prefect_site import IDLE_S
from roost_flows.settings import POLL_S

REST_S = 1.0
STOCK_POLL_S, OUR_POLL_S = 10.0, float(POLL_S)
STOCK, STOCK_FAST = "stock", "stock, polls as ours"
AIMS = {"suspended": Limit(Aim.AT_MOST, 5), "stopped": Limit(Aim.AT_MOST, 15)}
ABOUT = f"""
Seconds from "run" pressed (a POST to `create_flow_run`, as the UI sends it, through the local Fly's
proxy) until the run is RUNNING, and until it is COMPLETED, as the server recorded it. The flow is
`rebuild` of `examples/flows/nightly`, which prints one line; so the rest is what Prefect takes to start
a process for it, and to end it. Both machines fell asleep by themselves, `idle_after: {IDLE_S}s`.

- *both*: the server and its flow server sleep. The request wakes the server, and that wakes the other.
- *server awake*: only the flow server sleeps.
- *both awake*: a run that is started while the flow server still asks for work, every {OUR_POLL_S:g} s.
- *Stock*: a Prefect server and beside it a process with `serve()` that never sleep; asked directly, at
  a random moment. It asks for work every {STOCK_POLL_S:g} s, which is Prefect's default; in the rows of
  *both awake* every {OUR_POLL_S:g} s, as ours does. It has no sleep; the same figure stands beside each.

The local Fly suspends with SIGSTOP; Fly restores the memory of each machine from disk, which takes
some hundred milliseconds more, and its start from stopped has to bring the image up.
"""

Found = Mapping[str, list[Took]]


@dataclass(frozen=True)
class Trial:
    """One way to start a run."""

    name: str
    stock: str
    run: Callable[[], Took]


def measure(lab: Lab) -> Table:
    """Start runs on sleeping pairs, and on stock, in turns."""
    moments = random.Random(0)
    found: dict[str, list[Took]] = defaultdict(list)
    with ExitStack() as stack:
        trials = list(prepare(lab, stack, moments))
        for number in range(1, lab.runs + 1):
            for trial in trials:
                took = trial.run()
                found[trial.name].append(took)
                lab.tell(
                    f"  {number}/{lab.runs} {trial.name}: "
                    f"RUNNING {took.running:.2f} s, COMPLETED {took.completed:.2f} s"
                )
    beside = {trial.name: trial.stock for trial in trials if trial.stock}
    title = "from run pressed to the work, everything asleep"
    return Table("work", title, ABOUT, tuple(rows(found, beside)))


def prepare(lab: Lab, stack: ExitStack, moments: random.Random) -> Iterator[Trial]:
    """Start what is measured, and return the trials; with `smallest` those of one row."""
    slow = stack.enter_context(always_on(lab))
    yield Trial(STOCK, "", lambda: press_sometime(slow, STOCK_POLL_S, moments, lab))
    suspended = stack.enter_context(sleeping_pair(lab, "suspend"))
    yield Trial("both suspended", STOCK, lambda: press_asleep(suspended, server_too=True))
    if lab.smallest:
        return
    alone = "server awake, flow server"
    yield Trial(f"{alone} suspended", STOCK, lambda: press_asleep(suspended, server_too=False))
    # The run before has just ended: both are awake.
    own = suspended.served
    yield Trial("both awake", STOCK_FAST, lambda: press_sometime(own, OUR_POLL_S, moments, lab))
    stopped = stack.enter_context(sleeping_pair(lab, "stop"))
    yield Trial("both stopped", STOCK, lambda: press_asleep(stopped, server_too=True))
    yield Trial(f"{alone} stopped", STOCK, lambda: press_asleep(stopped, server_too=False))
    polls = {"PREFECT_RUNNER_POLL_FREQUENCY": f"{OUR_POLL_S:g}"}
    fast = stack.enter_context(always_on(lab, **polls))
    yield Trial(STOCK_FAST, "", lambda: press_sometime(fast, OUR_POLL_S, moments, lab))


def press_asleep(pair: Pair, *, server_too: bool) -> Took:
    """Wait until the flow server sleeps, and the server too if it is asked for; then press "run"."""
    pair.wait_asleep(server_too=server_too)
    time.sleep(REST_S)
    return press_run(pair.served.url, pair.served.login, pair.served.deployment)


def press_sometime(served: Served, poll_s: float, moments: random.Random, lab: Lab) -> Took:
    """Press "run" at a random moment between two polls, which are some seconds apart."""
    time.sleep(0 if lab.smallest else moments.uniform(0, poll_s))
    return press_run(served.url, served.login, served.deployment)


def rows(found: Found, beside: Mapping[str, str]) -> Iterator[Row]:
    """Return two rows for each of our trials.

    Args:
        found: the figures of all trials by their names.
        beside: for each of our trials the name of the trial of stock that it is compared with.
    """
    for name, stock in beside.items():
        limit = next((limit for state, limit in AIMS.items() if state in name), None)
        yield Row(
            f"{name}: RUNNING", Unit.SECONDS, running(found[name]), running(found[stock]), limit
        )
        yield Row(
            f"{name}: COMPLETED", Unit.SECONDS, completed(found[name]), completed(found[stock])
        )


def running(found: list[Took]) -> Sample:
    """Return the seconds to RUNNING."""
    return Sample(tuple(took.running for took in found))


def completed(found: list[Took]) -> Sample:
    """Return the seconds to COMPLETED."""
    return Sample(tuple(took.completed for took in found))
