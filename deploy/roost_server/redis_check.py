"""Check at a start that the Redis can do what Prefect needs, before Prefect fails in its middle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from roost_server.errors import BootError
from roost_server.redis_settings import (
    PROCESS,
    SERVICES,
    SERVICES_DOCKET,
    is_replicated,
    redis_url,
)

LIMIT_S = 5.0
OLDEST = (6, 2)
"""Prefect's consumers use XAUTOCLAIM, which is in Redis since 6.2."""


def check_redis(environ: Mapping[str, str]) -> None:
    """Check the Redis of a replicated server; one that does not answer is no reason not to start.

    It may come back at any time, and the server's health says that it is away. A server that ended
    instead would be restarted a few times, and then stay down.

    Raises:
        BootError: it answers, and can never work for this server.
    """
    if not is_replicated(environ):
        return
    from redis import Redis, exceptions

    try:
        client = Redis.from_url(
            redis_url(environ), socket_timeout=LIMIT_S, socket_connect_timeout=LIMIT_S
        )
    except ValueError:
        # Not chained: the message may quote the address.
        raise BootError(
            "the address of the Redis cannot be read; its form is rediss://USER:PASSWORD@HOST:PORT/0"
        ) from None
    try:
        info = client.info()
        if environ[PROCESS] == SERVICES:
            forget_services(client)
    except exceptions.AuthenticationError:
        raise BootError(
            "the Redis refuses the user or the password; correct its secret, and apply again"
        ) from None
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        print(f"roost: the Redis does not answer yet ({name_reason(error)})", flush=True)
        return
    except (
        exceptions.RedisError
    ) as error:  # such as a user who may not ask; the gate proves the rest
        print(f"roost: the Redis does not say what it is ({type(error).__name__})", flush=True)
        return
    finally:
        client.close()
    if fault := redis_fault(info):
        raise BootError(fault)
    if note := eviction_note(info):
        print(f"roost: {note}", flush=True)


def forget_services(client: Any) -> None:
    """Remove what the services of an earlier start left to do, before they begin anew.

    The next round of each service stands in the Redis. Kept, a round that an earlier setting put
    off for a day would still be a day away, and one that was being executed when its machine died
    would wait for its redelivery. There is one machine for the services, and each of them finds
    by itself what is left to do.
    """
    for key in client.scan_iter(f"{SERVICES_DOCKET}:*", count=1000):
        client.unlink(key)


def name_reason(error: Exception) -> str:
    """Return why there is no connection, without any part of the address."""
    if "CERTIFICATE" in str(error).upper():
        return "its certificate is not trusted"
    return type(error).__name__


def redis_fault(info: Mapping[str, Any]) -> str:
    """Return why a Redis cannot serve, from its answer to INFO; empty where it can."""
    if info.get("cluster_enabled") or info.get("redis_mode") == "cluster":
        return (
            "the Redis is a cluster, which Prefect's parts do not support together; use one without "
            "cluster mode"
        )
    version = str(info.get("redis_version") or "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers and numbers < OLDEST:
        return f"the Redis is {version}, and Prefect needs 6.2 or newer; upgrade it"
    if info.get("role") == "slave":
        return "the Redis is a read-only replica; use the address of the one that is written to"
    return ""


def eviction_note(info: Mapping[str, Any]) -> str:
    """Return a sentence about a Redis that removes keys when its memory is full; empty for others."""
    policy = str(info.get("maxmemory_policy") or "noeviction")
    if policy == "noeviction" or policy.startswith("volatile-"):
        return ""
    return (
        f"the Redis removes any key when its memory is full ({policy}), and events and leases with "
        "them; set maxmemory-policy to noeviction"
    )
