"""Check a machine config as Fly does, and return it as Fly echoes it.

Fly ignores unknown fields without an error (observed in the field). A stand-in that did so would
hide mistakes, so here they are refused by name.
"""

from __future__ import annotations

import copy
import signal as signals
from typing import Any

from localfly.api_errors import ApiError
from localfly.config.durations import seconds
from localfly.config.fields import FIELDS, GUEST, Unknown, faults

Json = dict[str, Any]

NOT_HERE = {
    "containers": "machines of several containers",
    "schedule": "scheduled machines",
    "standbys": "standby machines",
    "files": "files written by Fly",
    "volumes": "volumes of containers",
}
SUSPEND_LIMIT_MB = 2048
MAX_STOP_TIMEOUT_S = 300
MAX_PORT = 65535
MOST_PERCENT = 99
_PER_CPU_MB = {"shared": (256, 2048), "performance": (2048, 8192)}
_STEP_MB = {"shared": 256, "performance": 1024}  # flyctl's own check
# The cpus of fly-go's presets.
_CPUS = {"shared": (1, 2, 4, 6, 8), "performance": (1, 2, 4, 6, 8, 10, 12, 14, 16)}
_POLICIES = ("no", "always", "on-failure")
_STOP_SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM")


def check_config(config: Json) -> None:
    """Check a config for what Fly would refuse or silently ignore.

    Raises:
        ApiError: 422 with every unknown field, 400 for a bad value, 501 for an absent feature.
    """
    refuse_faults(config, FIELDS, "config")
    if not config.get("image"):
        raise _invalid("config.image is required")
    missing = [what for name, what in NOT_HERE.items() if config.get(name)]
    missing += _missing_of_processes(config.get("processes") or [])
    if missing:
        raise ApiError(501, f"the local Fly has no {', '.join(missing)}; see its README")
    _check_size(config)
    _check_mounts(config.get("mounts") or [])
    for service in config.get("services") or []:
        _check_service(service)
    for check in (config.get("checks") or {}).values():
        _check_check(check)
        _check_port(check.get("port"), "checks.port")
    _check_ending(config)


def _missing_of_processes(processes: list[Json]) -> list[str]:
    """Return what the local Fly lacks of `processes`: one of them is the machine's own process."""
    if len(processes) > 1:
        return ["several processes of one machine"]
    absent = ("secrets", "env_from", "user")
    return [f"processes[].{name}" for p in processes for name in absent if p.get(name)]


def refuse_faults(value: Any, shape: Any, path: str) -> None:
    """Check for unknown fields (422), then for values of a wrong type (400)."""
    found = list(faults(value, shape, path))
    unknown = [str(fault) for fault in found if isinstance(fault, Unknown)]
    if unknown:
        raise ApiError(422, f"unknown fields in the request: {'; '.join(unknown)}")
    if found:
        raise _invalid("; ".join(map(str, found)))


def _invalid(what: str) -> ApiError:
    return ApiError(400, f"invalid_argument: {what}")


def _check_size(config: Json) -> None:
    if config.get("size") and config.get("guest"):
        raise _invalid("size and guest exclude each other; size is deprecated")
    check_guest(_guest(config))


def check_guest(guest: Json) -> None:
    """Check that Fly sells a machine size.

    Raises:
        ApiError: 400.
    """
    refuse_faults(guest, GUEST, "guest")
    kind, cpus, memory = guest.get("cpu_kind"), guest.get("cpus"), guest.get("memory_mb")
    if kind not in _CPUS or cpus not in _CPUS[kind]:
        raise _invalid(f"no such machine size: {kind} with {cpus} cpus")
    if guest.get("gpu_kind") or guest.get("gpus"):
        raise ApiError(501, "the local Fly has no GPUs; see its README")
    low, high = (each * int(cpus) for each in _PER_CPU_MB[kind])
    step = _STEP_MB[kind]
    if not isinstance(memory, int) or memory % step or not low <= memory <= high:
        raise _invalid(
            f"memory_mb {memory} must be a multiple of {step} from {low} to {high} "
            f"for {cpus} {kind} cpus"
        )


def _guest(config: Json) -> Json:
    """Return a machine's full size: from `guest`, a preset's name, and Fly's defaults."""
    given = {key: value for key, value in (config.get("guest") or {}).items() if value is not None}
    guest = {"cpu_kind": "shared", "cpus": 1, **_preset(config.get("size") or ""), **given}
    low, _ = _PER_CPU_MB.get(guest["cpu_kind"], (0, 0))
    return {"memory_mb": low * guest["cpus"], **guest}


def _preset(name: str) -> Json:
    """Return the cpu kind and the cpus of a preset such as shared-cpu-2x."""
    kind, _, count = name.removesuffix("x").replace("-cpu", "").partition("-")
    return {"cpu_kind": kind, "cpus": int(count) if count.isdecimal() else 0} if name else {}


def _check_mounts(mounts: list[Json]) -> None:
    if len(mounts) > 1:
        raise _invalid("a machine has at most one mount")
    for mount in mounts:
        if not mount.get("volume"):
            raise _invalid("mounts[].volume is required")
        path = mount.get("path") or ""
        if not path.startswith("/") or path.strip("/") == "":
            raise _invalid("mounts[].path must be absolute, and not the root")
        _check_extension(mount)


def _check_extension(mount: Json) -> None:
    """Check the three fields for extending a volume; Fly does not publish their bounds."""
    threshold, add = mount.get("extend_threshold_percent"), mount.get("add_size_gb")
    if threshold and not 1 <= threshold <= MOST_PERCENT:
        raise _invalid(f"mounts[].extend_threshold_percent must be from 1 to {MOST_PERCENT}")
    if bool(threshold) != bool(add) or (mount.get("size_gb_limit") and not threshold):
        raise _invalid("mounts[].extend_threshold_percent and add_size_gb go together")
    if min(add or 0, mount.get("size_gb_limit") or 0) < 0:
        raise _invalid("mounts[].add_size_gb and size_gb_limit must be positive")


def _check_service(service: Json) -> None:
    _check_port(service.get("internal_port"), "services[].internal_port")
    if service.get("protocol") not in (None, "", "tcp", "udp"):
        raise _invalid("services[].protocol must be tcp or udp")
    if service.get("autostop") not in (None, True, False, "off", "stop", "suspend"):
        raise _invalid("services[].autostop must be off, stop or suspend")
    for port in service.get("ports") or []:
        if port.get("port") is not None:
            _check_port(port["port"], "services[].ports[].port")
    _check_limits(service)
    for check in service.get("checks") or []:
        _check_check(check)
        if check.get("port") is not None:
            _check_port(check["port"], "services[].checks[].port")


def _check_limits(service: Json) -> None:
    limits = service.get("concurrency") or {}
    if limits.get("type") not in (None, "", "connections", "requests"):
        raise _invalid("concurrency.type must be connections or requests")
    numbers = [limits.get("soft_limit"), limits.get("hard_limit")]
    numbers.append(service.get("min_machines_running"))
    if any(number is not None and number < 0 for number in numbers):
        raise _invalid("limits and min_machines_running cannot be negative")


def _check_port(port: Any, name: str) -> None:
    if not isinstance(port, int) or not 0 < port <= MAX_PORT:
        raise _invalid(f"{name} is required, from 1 to {MAX_PORT}")


def _check_check(check: Json) -> None:
    if check.get("type") not in ("tcp", "http"):
        raise _invalid("a check's type must be tcp or http")
    if check.get("kind") not in (None, "", "informational", "readiness"):
        raise _invalid("a check's kind must be informational or readiness")
    for name in ("interval", "timeout", "grace_period"):
        seconds(check.get(name), 0)


def _check_ending(config: Json) -> None:
    policy = (config.get("restart") or {}).get("policy") or "on-failure"
    if policy not in _POLICIES:
        raise _invalid(f"restart.policy must be one of {', '.join(_POLICIES)}")
    stop = config.get("stop_config") or {}
    if stop.get("signal") and stop["signal"] not in _STOP_SIGNALS:
        raise _invalid(f"stop_config.signal must be one of {', '.join(_STOP_SIGNALS)}")
    if seconds(stop.get("timeout"), 0) > MAX_STOP_TIMEOUT_S:
        raise _invalid(f"stop_config.timeout is at most {MAX_STOP_TIMEOUT_S} s")


def signal_number(signal: Any) -> int:
    """Return a signal's number from its name, with or without SIG, or flyctl's number.

    Raises:
        ApiError: 400 for an unknown signal.
    """
    try:
        if isinstance(signal, str):
            return int(signals.Signals[signal if signal.startswith("SIG") else f"SIG{signal}"])
        return int(signals.Signals(signal))
    except (KeyError, ValueError):
        raise _invalid(f"no such signal: {signal}") from None


def may_suspend(config: Json) -> bool:
    """Return whether a machine may be suspended (Fly: at most 2 GB of memory, and no swap)."""
    swap = (config.get("init") or {}).get("swap_size_mb")
    return int(config["guest"]["memory_mb"]) <= SUSPEND_LIMIT_MB and not swap


def echo(config: Json, volume_size_gb: int | None) -> Json:
    """Return a config as Fly echoes it: with defaults, and autostop in Fly's form."""
    echoed = {key: value for key, value in copy.deepcopy(config).items() if value is not None}
    echoed["guest"] = _guest(config)
    echoed.pop("size", None)
    echoed["init"] = echoed.get("init") or {}
    echoed.setdefault("dns", {})
    for service in echoed.get("services") or []:
        service["protocol"] = service.get("protocol") or "tcp"
        # Fly echoes false for off and true for stop (fly-go, and read back live).
        asked = service.get("autostop")
        service["autostop"] = "suspend" if asked == "suspend" else asked in ("stop", True)
        service.setdefault("autostart", False)
        service.setdefault("force_instance_key", None)
    for mount in echoed.get("mounts") or []:
        mount.setdefault("encrypted", True)
        mount["size_gb"] = volume_size_gb or mount.get("size_gb") or 1
    return echoed
