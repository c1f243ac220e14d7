"""Keep schedules as they are when the command ends.

Prefect's runner pauses the deployments that it serves when it ends (`pause_on_shutdown`). Nobody
would notice that no schedule fires any more, so what was not paused before is resumed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from roost_flows.errors import FencedError, ForgottenError, LaunchError
from roost_flows.missing import MissingRuns
from roost_flows.server_client import ServerClient
from roost_machine.log import log

LIMIT_S = 10.0


def read_paused(
    client: ServerClient,
    known: Mapping[str, bool],
    missing: MissingRuns | None = None,
    running: Collection[str] = (),
) -> dict[str, bool]:
    """Return which deployments of this flow server are paused; what is known if the server is away.

    Args:
        client: of the server.
        known: what was read last.
        missing: tells the server which runs have no process here, and learns what it expects.
        running: the runs that have a process now.

    Raises:
        FencedError: a newer start of this flow server took over.
        ForgottenError: the server has no record of this flow server any more.
    """
    try:
        record = client.record(LIMIT_S, missing.report(running) if missing else None)
        if missing:
            missing.learn(record)
        served = [str(each["id"]) for each in record.get("deployments") or []]
        return client.paused(served, LIMIT_S)
    except (FencedError, ForgottenError):
        raise
    except LaunchError as error:
        log(f"cannot read which deployments are paused: {error}")
        return dict(known)


def resume_paused(client: ServerClient, before: Mapping[str, bool]) -> list[str]:
    """Resume the deployments that are paused now and were not before; return their ids."""
    ours = [deployment for deployment, paused in before.items() if not paused]
    resumed: list[str] = []
    try:
        now = client.paused(ours, LIMIT_S)
    except LaunchError as error:
        log(f"cannot resume the deployments that the command paused: {error}")
        return []
    for deployment in [each for each in ours if now.get(each)]:
        try:
            client.resume(deployment, LIMIT_S)
            resumed.append(deployment)
        except LaunchError as error:  # one that was deleted must not keep the others paused
            log(f"cannot resume the deployment {deployment}, which the command paused: {error}")
    if resumed:
        log(f"resumed {len(resumed)} deployments that the command paused when it ended")
    return resumed
