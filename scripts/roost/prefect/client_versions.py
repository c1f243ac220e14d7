"""Which releases of Prefect's client work with which servers, as `./run clients` measured it.

With a login on, a server takes task runs and events through a socket that asks for the login. A client
that does not know this completes its flow runs, and its task runs and events are lost without a word.
`docs/prefect.md` shows the same table.
"""

from __future__ import annotations

from dataclasses import dataclass

from roost.prefect.versions import parse_version

SERVERS = ("3.8.8", "3.9.1")
"""The servers that were tried, each under the launcher of our image and with a login."""


@dataclass(frozen=True)
class Client:
    """What arrives of one flow run with three tasks and one event, the same on every server.

    Args:
        version: of the client.
        task_runs: of three.
        events: of one.
    """

    version: str
    task_runs: int
    events: int

    @property
    def works(self) -> bool:
        """Whether all of it arrives."""
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
"""The flow run itself was Completed with each of them."""


def advise_clients(server: str) -> str:
    """Return which clients work with a server that has a login, in one line.

    Args:
        server: the version that the server has; empty where the server is of a minor version that
            was not tried, or of none.
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
