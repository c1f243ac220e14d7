"""The machines of a replicated server: some serve the API, and one runs the background services.

All of them run one image with one set of variables. So a release records the config of the machines
for the API, and that of the services' machine follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roost.plan.desired import PROCESS_GROUP, DesiredMachine, Json, service_of

SERVICES_GROUP = "services"
SERVICES_SLOT = f"{SERVICES_GROUP}-1"
PROCESS = "ROOST_PROCESS"
"""The variable with what a machine of a replicated server runs; others do not have it."""
API, SERVICES = "api", "services"
REDIS_URL_VARIABLE = "ROOST_REDIS_URL_VARIABLE"
REDIS_ADDRESS = "ROOST_REDIS_ADDRESS"
"""The variable with where a Redis that Roost deploys answers; its password is a secret beside it."""
HEALTH_CHECK = "health"
"""The name of Fly's check of the services' machine; the others' checks belong to their service."""


def is_replicated(config: Json) -> bool:
    """Return whether a config is that of a machine of a replicated server."""
    return PROCESS in (config.get("env") or {})


def runs_services(config: Json) -> bool:
    """Return whether a config is that of the services' machine."""
    return (config.get("env") or {}).get(PROCESS) == SERVICES


def slots_of(count: int, *, replicated: bool) -> tuple[str, ...]:
    """Return the slots of a server with `count` machines for the API; the services' is the last."""
    serving = tuple(f"{PROCESS_GROUP}-{slot}" for slot in range(1, count + 1))
    return (*serving, SERVICES_SLOT) if replicated else serving


def region_of(slot: str, region: str, regions: Sequence[str]) -> str:
    """Return the region of a slot: those for the API take turns in `regions`, the services' is in `region`."""
    if slot == SERVICES_SLOT or not regions:
        return region
    return regions[(int(slot.rpartition("-")[2]) - 1) % len(regions)]


def config_for(slot: str, config: Json, check: Json) -> Json:
    """Return the config of a slot, from that of a machine that serves the API.

    Args:
        slot: the machine's name.
        config: the config of any machine for the API.
        check: Fly's check of it, by a request to its own port.
    """
    config = {**config, "metadata": {**config["metadata"]}}
    if slot != SERVICES_SLOT:
        return config
    port = service_of(config)["internal_port"]
    del config["services"]  # no proxy sends it requests
    config["env"] = {**config["env"], PROCESS: SERVICES, "FLY_PROCESS_GROUP": SERVICES_GROUP}
    config["metadata"]["fly_process_group"] = SERVICES_GROUP
    config["checks"] = {HEALTH_CHECK: {"port": port, **check}}
    return config


def in_order(machines: Iterable[DesiredMachine]) -> tuple[DesiredMachine, ...]:
    """Return machines in the order in which they are changed: the services' first.

    It migrates the database, and the gate of the first machine for the API needs its scheduler.
    """
    return tuple(sorted(machines, key=lambda machine: not runs_services(machine.config)))


def meanwhile(wanted: Json, live: Json) -> str:
    """Return what happens while a machine of a replicated server is updated; empty for others.

    A machine that becomes one of several was the only one until then.
    """
    if not (is_replicated(wanted) and is_replicated(live)):
        return ""
    if runs_services(wanted):
        return "; schedules and events wait meanwhile"
    return " while the others serve"
