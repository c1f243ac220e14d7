"""Settings of a server whose machines share their work over a Redis (`topology: replicated`).

Prefect keeps events, leases and the tasks of its services in one process's memory, unless each of
these settings names Redis. They are set before Prefect is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from roost_server.errors import BootError

URL_VARIABLE = "ROOST_REDIS_URL_VARIABLE"
ADDRESS = "ROOST_REDIS_ADDRESS"
PASSWORD = "REDIS_PASSWORD"  # noqa: S105 - the name, not the value
"""Of a Redis that Roost deploys: HOST:PORT, and the name of its password."""
PROCESS = "ROOST_PROCESS"
API, SERVICES = "api", "services"
# In one docket, a machine without services would take the services' tasks and drop them as unknown
# (pydocket 0.27.0). The name is the prefix of its keys, and of no other's.
SERVICES_DOCKET = "roost-services"
_MODULES = {
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
}
# Prefect keeps events that came through a socket for up to 10 s before it hands them to Redis; until
# then they are in one machine's memory, and nobody else sees them.
_PUBLISHING = {"PREFECT_REDIS_MESSAGING_PUBLISHER_PUBLISH_EVERY": "1"}
_URLS = (
    "PREFECT_REDIS_MESSAGING_URL",
    "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL",
    "PREFECT_SERVER_DOCKET_URL",
)


def is_replicated(environ: Mapping[str, str]) -> bool:
    """Return whether this machine is one of several that share a Redis."""
    return bool(environ.get(PROCESS))


def redis_url(environ: Mapping[str, str]) -> str:
    """Return the address of the Redis, which may hold a password.

    Raises:
        BootError: the secret that holds it has no value on this machine.
    """
    if address := environ.get(ADDRESS):
        return f"redis://default:{quote(_password(environ), safe='')}@{address}/0"
    name = environ.get(URL_VARIABLE, "")
    if url := environ.get(name, "").strip():
        return url
    raise BootError(
        f"the secret {name or 'of redis.url_secret'} has no value on this machine; set it and apply again"
    )


def _password(environ: Mapping[str, str]) -> str:
    if password := environ.get(PASSWORD):
        return password
    raise BootError(f"the secret {PASSWORD} has no value on this machine; set it and apply again")


def redis_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a machine that shares a Redis; none for a server of one machine.

    Raises:
        BootError: see `redis_url`.
    """
    if not is_replicated(environ):
        return {}
    shared = {**_MODULES, **_PUBLISHING, **dict.fromkeys(_URLS, redis_url(environ))}
    if environ[PROCESS] == API:
        return {**shared, "PREFECT__SERVER_WEBSERVER_ONLY": "1"}
    return {**shared, "PREFECT_SERVER_DOCKET_NAME": SERVICES_DOCKET}
