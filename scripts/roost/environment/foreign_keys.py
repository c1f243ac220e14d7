"""Hints for keys of fly.toml, compose files and other hosts: the name that they have here."""

from __future__ import annotations

_DATABASE = (
    "write database.volume_gb: roost creates the server's one volume and its mount from it; one that "
    "exists is named in database.volume_name"
)
_SERVICE = (
    "roost creates the one HTTP service; its sleep and its load limits are under scaling, its internal "
    "port is access.internal_port, and its check is under health"
)
_SIZE = "write machine.size and machine.memory_mb"
_ENV = (
    "Prefect's settings go under prefect.settings, other variables under environment, and secret "
    "ones under secrets"
)
_BUILD = "roost builds the image of prefect.version; to run another one, name it in prefect.image"
_PROCESSES = (
    "a machine runs the Prefect server and nothing else; write what runs your flows under flows, where "
    "each entry is an app of its own (docs/flows.md)"
)
_DOMAIN = (
    "roost does not set up custom domains yet; the server is at https://APP.fly.dev; add another name "
    "by hand: `fly certs add NAME -a APP`"
)
# Hints by top-level key; each follows "there is no key KEY here: ".
FOREIGN_KEYS = {
    "processes": _PROCESSES,
    "command": _PROCESSES,
    "mounts": _DATABASE,
    "volumes": _DATABASE,
    "metrics": (
        "roost does not set up scraping by Fly yet; PREFECT_SERVER_METRICS_ENABLED: true under "
        "prefect.settings lets the server answer at /api/metrics, behind its login"
    ),
    "ui": "write access.ui",
    "domain": _DOMAIN,
    "domains": _DOMAIN,
    "certs": _DOMAIN,
    "env": _ENV,
    "build": _BUILD,
    "image": _BUILD,
    "http_service": _SERVICE,
    "services": _SERVICE,
    "checks": _SERVICE,
    "ports": _SERVICE,
    "vm": _SIZE,
    "primary_region": "write region",
    "org": "write organization",
    "deploy": "roost replaces a machine and proves it; a deploy needs no settings",
    "kill_signal": "roost stops the server by SIGTERM and gives it 20 seconds",
    "kill_timeout": "roost stops the server by SIGTERM and gives it 20 seconds",
    "restart": "roost lets Fly restart a server that fails, up to 5 times",
    "replicas": "write scaling.count",
}
