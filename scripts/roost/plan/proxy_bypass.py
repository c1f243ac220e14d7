"""What a machine reaches directly where its variables name a proxy, such as HTTPS_PROXY."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})
NO_PROXY = "NO_PROXY"
# A proxy is for what is outside; these names mean something on the machine or in its network alone.
DIRECT = ("localhost", "127.0.0.1", "::1", ".flycast", ".internal")
_EVERYTHING = "*"


def bypass(
    variables: Mapping[str, str], secrets: Iterable[str], hosts: Iterable[str] = ()
) -> dict[str, str]:
    """Return NO_PROXY with what the machine must reach directly; nothing where there is no proxy.

    Prefect's client, the WebSocket of its events and Litestream all read these variables, in small
    letters too. The user's own NO_PROXY stays in front.

    Args:
        variables: the user's variables of the machine.
        secrets: names of its secrets; one may be a proxy with a login.
        hosts: more hosts to reach directly, such as the Prefect server of a flow server.
    """
    hidden = {name.upper() for name in secrets}
    if not PROXIES & ({name.upper() for name in variables} | hidden) or NO_PROXY in hidden:
        return {}
    names = [name for name in variables if name.upper() == NO_PROXY] or [NO_PROXY]
    return {name: _with(variables.get(name, ""), (*DIRECT, *hosts)) for name in names}


def _with(present: str, hosts: tuple[str, ...]) -> str:
    """Return a list of hosts with more of them; `*` alone is everything already."""
    listed = [host for each in present.split(",") if (host := each.strip())]
    return present if listed == [_EVERYTHING] else ",".join(dict.fromkeys((*listed, *hosts)))
