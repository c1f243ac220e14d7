"""Stop gracefully: take no more work, let flow runs end, end the command, keep the schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from roost_flows.clock import Clock
from roost_flows.errors import FencedError, ForgottenError, LaunchError
from roost_flows.processes import SETTLE_S, Running
from roost_flows.schedules import read_paused, resume_paused
from roost_flows.server_client import ServerClient
from roost_machine.log import log

DRAIN_LIMIT_S = 5.0
LOOK_S = 0.25
# Prefect's runner cancels what is left when it ends: 30 s is its own limit for one flow run.
END_LIMIT_S = 40.0


def stop_gracefully(  # noqa: PLR0913, PLR0917 - each is something else that it ends or asks
    client: ServerClient,
    running: Running,
    clock: Clock,
    limit_s: float,
    paused: Mapping[str, bool],
    end_command: Callable[[float], bool],
) -> None:
    """Run the whole sequence; a server that is away shortens it.

    Args:
        client: of the server.
        running: the processes of this start.
        clock: the time.
        limit_s: how long flow runs may take to end by themselves, in seconds.
        paused: the deployments that were last known to be paused, or not.
        end_command: ends the command within a limit in seconds; returns whether it did.
    """
    _drain(client)
    _wait_for_runs(running, clock, limit_s)
    try:
        before = read_paused(client, paused)
    except FencedError:
        before = {}  # the newer start serves these deployments now
    except ForgottenError:
        before = dict(paused)
    if left := sorted(running.flow_runs()):
        log(
            f"{len(left)} flow runs did not end within {limit_s:g} s; Prefect cancels them now: "
            f"{', '.join(left)}. Raise `stop_limit` if flows need longer"
        )
    if not end_command(END_LIMIT_S):
        log(f"the command did not end within {END_LIMIT_S:g} s and is killed")
    running.kill()
    resume_paused(client, before)


def _drain(client: ServerClient) -> None:
    try:
        client.drain(draining=True, limit_s=DRAIN_LIMIT_S)
    except LaunchError as error:
        log(f"stops; the server could not be asked to stop handing out work: {error}")


def _wait_for_runs(running: Running, clock: Clock, limit_s: float) -> None:
    """Wait until no flow run is left, or until the limit."""
    clock.sleep(SETTLE_S)
    ends = clock.seconds() + limit_s
    runs = running.flow_runs()
    log(f"stops; {len(runs)} flow runs may end within {limit_s:g} s" if runs else "stops; idle")
    while runs and clock.seconds() < ends:
        clock.sleep(LOOK_S)
        runs = running.flow_runs()
