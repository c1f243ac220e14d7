"""Read size, scaling, ports and checks of an existing server from its machine's config."""

from __future__ import annotations

from datetime import timedelta

from roost.adoption.choose import Chosen
from roost.adoption.findings import Findings
from roost.environment.fields import SIZES, format_duration
from roost.environment.health import PATHS
from roost.environment.machine_memory import SHARED
from roost.environment.model import Concurrency
from roost.environment.rules import HEALTH_SECONDS, SUSPEND_LIMIT_MB
from roost.errors import NotImportableError
from roost.plan.compare import duration_ns
from roost.plan.desired import AUTOSTOPS, Json
from roost.plan.diff import PUBLIC_IPS
from roost.plan.live import Live

_PUBLIC_PORTS = frozenset({80, 443})
_PORT = 4200
"""Prefect's own."""
_LEAST_PORT, _MOST_PORT = 1024, 65535
# Hosts by which a server answers in the private network, which is IPv6.
_PRIVATE_HOSTS = frozenset({"::", "fly-local-6pn"})
_KNOWN_SERVICE = frozenset(
    {
        *("protocol", "internal_port", "autostop", "autostart", "min_machines_running", "ports"),
        *("concurrency", "checks"),
    }
)
_KNOWN_PORT = frozenset({"port", "handlers", "force_https"})
_NS = 10**9
_FLYS_SOFT_LIMIT = 20
"""Of Fly's proxy where none is set (https://fly.io/docs/reference/concurrency)."""


def machine_of(app: str, config: Json) -> Json:
    """Return the section `machine`.

    Raises:
        NotImportableError: the size is one that no file can name.
    """
    guest = config.get("guest") or {}
    kind, cpus = guest.get("cpu_kind") or SHARED, guest.get("cpus") or 1
    size = f"{kind}-cpu-{cpus}x" if kind == SHARED else f"{kind}-{cpus}x"
    if size not in SIZES or guest.get("gpu_kind") or guest.get("gpus"):
        raise NotImportableError(
            f"The machine has {cpus} {kind} CPUs{' and a GPU' if guest.get('gpu_kind') else ''}, which is "
            "no size that a file can name.",
            where=app,
            advice=f"Choose one of {', '.join(SIZES)} with `fly scale vm`, then import it.",
        )
    return {"size": size, "memory_mb": guest.get("memory_mb") or 256}


def server_service(config: Json, findings: Findings) -> Json:
    """Return the service that is Prefect's; empty for a server without any."""
    services: list[Json] = [s for s in config.get("services") or () if s.get("ports")]
    if not services:
        return {}
    port = str((config.get("env") or {}).get("PREFECT_SERVER_API_PORT", ""))
    chosen = next((s for s in services if port and str(s.get("internal_port")) == port), None)
    chosen = chosen or next((s for s in services if _ports(s) & _PUBLIC_PORTS), services[0])
    for service in services:
        if service is not chosen:
            findings.lose(
                f"the service of the internal port {service.get('internal_port')} is removed: a server "
                "has one service"
            )
    return chosen


def _ports(service: Json) -> set[int]:
    return {port["port"] for port in service.get("ports") or () if port.get("port")}


def access_of(live: Live, config: Json, service: Json, findings: Findings) -> Json:
    """Return the section `access` but for `auth`: who reaches the server, and at which port."""
    env = config.get("env") or {}
    public = bool(_ports(service)) and any(ip.kind in PUBLIC_IPS for ip in live.ips)
    if not public:
        findings.guess("access", "it has no public address with a service, so it is private")
    if extra := sorted(_ports(service) - _PUBLIC_PORTS):
        findings.lose(
            f"the public port {', '.join(map(str, extra))} is closed: clients use 443 (80 in the private "
            "network)"
        )
    if public and not any(p.get("force_https") for p in service.get("ports") or ()):
        findings.lose("plain HTTP is answered now; afterwards port 80 leads to HTTPS")
    if not service or str(env.get("PREFECT_SERVER_API_HOST")) in _PRIVATE_HOSTS:
        app = live.app.name if live.app else "APP"
        findings.lose(f"{app}.internal stops answering: clients use http://{app}.flycast")
    _name_unknown(service, findings)
    access: Json = {"public": public}
    port = service.get("internal_port") or _port_in(env)
    if _LEAST_PORT <= port <= _MOST_PORT:
        access["internal_port"] = port
    else:
        why = "needs root" if port < _LEAST_PORT else "does not exist"
        findings.lose(f"the internal port {port} {why}; the server listens at {_PORT}")
    return access


def _port_in(env: Json) -> int:
    """Return the port that a server without a service listens at."""
    text = str(env.get("PREFECT_SERVER_API_PORT", ""))
    return int(text) if text.isascii() and text.isdigit() else _PORT


def _name_unknown(service: Json, findings: Findings) -> None:
    ports = (port for port in service.get("ports") or () if port.get("port") in _PUBLIC_PORTS)
    unknown = [
        *(name for name, value in service.items() if name not in _KNOWN_SERVICE and value),
        *(f"ports.{name}" for port in ports for name in port if name not in _KNOWN_PORT),
    ]
    for name in dict.fromkeys(unknown):
        findings.keep(f"services[0].{name} stays as it is: the file has no field for it")
    if service.get("protocol") not in (None, "tcp"):
        findings.lose(f"the protocol {service['protocol']} becomes tcp")


def scaling_of(service: Json, memory_mb: int, findings: Findings) -> Json:
    """Return the section `scaling`."""
    autostop = AUTOSTOPS.get(service.get("autostop"), "off")
    if autostop == "suspend" and memory_mb > SUSPEND_LIMIT_MB:
        autostop = "stop"
        findings.lose(f"Fly suspends machines of up to {SUSPEND_LIMIT_MB} MB and stops this one")
    if service and service.get("autostart") is not True:
        findings.lose("no request starts the machine now; afterwards one does")
    least = min(1, service.get("min_machines_running") or 0)
    scaling: Json = {
        "count": 1,
        "min_machines_running": least or int(autostop == "off"),
        "autostop": autostop,
    }
    limits = service.get("concurrency") or {}
    hard: int = limits.get("hard_limit") or 0
    soft: int = limits.get("soft_limit") or min(_FLYS_SOFT_LIMIT, hard)
    if soft:
        scaling["concurrency"] = {
            "type": limits.get("type") or "connections",
            "soft_limit": soft,
            "hard_limit": hard or max(soft, Concurrency().hard_limit),
        }
    if not hard:
        findings.guess(
            "scaling", "it has no hard limit; Roost's is that of the file, 100 by default"
        )
    return scaling


def health_of(chosen: Chosen, service: Json, findings: Findings) -> Json:
    """Return the section `health`; empty for its defaults."""
    others = chosen.config.get("checks") or {}
    checks: list[Json] = [*(service.get("checks") or ()), *others.values()]
    check = next((c for c in checks if c.get("type") == "http" and c.get("path")), None)
    if check is None:
        findings.lose("it has no check by HTTP; Roost adds one")
        return {}
    found: Json = {}
    if check["path"] in PATHS:
        found["path"] = check["path"]
    else:
        findings.lose(
            f"Fly's check asks {check['path']}; Prefect answers only {' and '.join(PATHS)} without a login"
        )
    for name, (least, most) in HEALTH_SECONDS.items():
        duration = duration_ns(check.get(name))
        if not isinstance(duration, int):
            continue
        seconds = duration / _NS
        if seconds == int(seconds) and least <= seconds <= most:
            found[name] = format_duration(timedelta(seconds=int(seconds)))
        else:
            findings.lose(
                f"{name} of Fly's check is {seconds:g} s; the file takes {least} to {most}"
            )
    return found
