"""The service in a machine's config that the proxy serves on its web address."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Autostop = Literal["off", "stop", "suspend"]
_DEFAULT_SOFT_LIMIT = 20  # Fly's default
_WEB_PORTS = (443, 80)
# Fly uses the least aggressive autostop of a machine's services.
_BY_AGGRESSION: tuple[Autostop, ...] = ("off", "suspend", "stop")


@dataclass(frozen=True)
class Service:
    """One service, with Fly's defaults filled in.

    Attributes:
        internal_port: The port that the machine listens on.
        autostart: Whether a request may start a sleeping machine. Off where unset, as Fly's table
            of config fields has it.
        autostop: What the proxy does with a machine without load.
        min_machines_running: How many keep running in the primary region.
        soft_limit: The load from which another machine is started.
        hard_limit: The highest load of a machine; None for no limit.
        response_headers: Set on every response (`http_options.response.headers`).
        pristine: Whether responses lack Fly's own headers.
    """

    internal_port: int
    autostart: bool = False
    autostop: Autostop = "off"
    min_machines_running: int = 0
    soft_limit: int = _DEFAULT_SOFT_LIMIT
    hard_limit: int | None = None
    response_headers: Mapping[str, Any] = field(default_factory=dict)
    pristine: bool = False


def web_service(config: Mapping[str, Any]) -> Service | None:
    """Return the service on port 443, else 80, else the first; None without a service."""
    services = config.get("services") or []
    ranked = sorted(services, key=_rank)
    return _read(ranked[0], services) if ranked else None


def primary_region(config: Mapping[str, Any]) -> str | None:
    """Return the app's primary region from flyctl's variable; the platform itself sets none."""
    region = (config.get("env") or {}).get("PRIMARY_REGION")
    return str(region) if region else None


def _rank(service: Mapping[str, Any]) -> int:
    ports = [port.get("port") for port in service.get("ports") or []]
    return next((n for n, port in enumerate(_WEB_PORTS) if port in ports), len(_WEB_PORTS))


def _read(service: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> Service:
    limits = service.get("concurrency") or {}
    response = _response_options(service)
    return Service(
        internal_port=int(service.get("internal_port") or 8080),
        autostart=bool(service.get("autostart")),
        autostop=min((_autostop(other) for other in services), key=_BY_AGGRESSION.index),
        min_machines_running=int(service.get("min_machines_running") or 0),
        soft_limit=int(limits.get("soft_limit") or _DEFAULT_SOFT_LIMIT),
        hard_limit=int(limits["hard_limit"]) if limits.get("hard_limit") else None,
        response_headers=response.get("headers") or {},
        pristine=bool(response.get("pristine")),
    )


def _autostop(service: Mapping[str, Any]) -> Autostop:
    """Return autostop from either form of the API: a word, or true for stop."""
    match service.get("autostop"):
        case "stop" | True:
            return "stop"
        case "suspend":
            return "suspend"
        case _:
            return "off"


def _response_options(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options for responses of the port that serves the web."""
    for port in service.get("ports") or []:
        options: Mapping[str, Any] = (port.get("http_options") or {}).get("response") or {}
        if options:
            return options
    return {}
