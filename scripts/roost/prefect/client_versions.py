"""Which releases of Prefect's client work with which servers, as `./run clients` measured it.

A server with a login receives task runs and events through a socket that requires the login. Older
clients do not send it: their flow runs complete, and their task runs and events are silently lost.
`docs/prefect.md` shows the same table.
"""

from __future__ import annotations

from dataclasses import dataclass

from roost.prefect.versions import parse_version

SERVERS = ("3.8.8", "3.9.1")
"""The servers that were measured, each with the launcher of our image and a login."""


@dataclass(frozen=True)
class Client:
    """What the server stored of one flow run with three tasks and one event, on every server.

    Args:
        version: the version of the client.
        task_runs: how many of the three task runs.
        events: how many of the one event.
    """

    version: str
    task_runs: int
    events: int

    @property
    def works(self) -> bool:
        """Whether nothing is lost."""
        return (self.task_runs, self.events) == (3, 1)


CLIENTS = (
    Client("3.1.10", 0, 0),
    Client("3.4.24", 0, 0),
    Client("3.6.13", 0, 0),
    Client("3.6.21", 3, 1),
    Client("3.7.8", 3, 1),
    Client("3.8.8", 3, 1),
    Client("3.9.1", 3, 1),
)
"""The flow run itself was Completed with each client."""


def advise_clients(server: str) -> str:
    """Return one line about the clients that work with a server that has a login.

    Args:
        server: the server's version.

    Returns:
        Empty for a minor version that was not measured, and for no version.
    """
    tried = {_minor(each): each for each in SERVERS}
    minor = _minor(server)
    if minor is None or minor not in tried:
        return ""
    good = [client.version for client in CLIENTS if client.works]
    bad = [client.version for client in CLIENTS if not client.works]
    return (
        f"Clients that were tried with Prefect {tried[minor]}: {', '.join(good)} work; "
        f"{', '.join(bad)} complete flow runs and lose task runs and events. Use {good[0]} or later."
    )


def client_fault(client: str, server: str) -> str:
    """Return why a client does not fit a server that has a login, with the way out; empty where it does.

    Prefect documents that clients must not be newer than the server; a newer one sends fields that an
    older server refuses with 422.

    Args:
        client: its version.
        server: the version that the server reports.
    """
    ours, theirs = parse_version(client), parse_version(server)
    first = next(each.version for each in CLIENTS if each.works)
    least = parse_version(first)
    if ours is None or theirs is None or least is None:
        return ""
    if ours < least:
        return (
            f"Your Prefect {client} completes flow runs and loses task runs and events with this "
            f'server. Use {first} or later: pip install "prefect=={server}"'
        )
    if (ours.major, ours.minor) > (theirs.major, theirs.minor):
        return (
            f"Your Prefect {client} is newer than the server's {server}, which may refuse what it "
            f'sends. Use the server\'s version: pip install "prefect=={server}"'
        )
    return ""


def _minor(text: str) -> tuple[int, int] | None:
    version = parse_version(text)
    return (version.major, version.minor) if version else None
