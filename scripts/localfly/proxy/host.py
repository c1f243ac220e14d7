"""The interface between the proxy and the program that runs the machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class MachineView:
    """A machine as the proxy sees it; `config` is the JSON of the API."""

    id: str
    name: str
    state: str
    config: Mapping[str, Any] = field(repr=False)
    address: str
    region: str
    cordoned: bool = False
    checks_passing: bool | None = None
    """False keeps requests away (Fly: a failing service check is not routed to). None is unknown:
    no check, or no result since the machine came up (its grace period); it is routed to."""


class Host(Protocol):
    """Runs the machines. `source` is the source of their events, here always "proxy"."""

    def machines(self, app: str) -> Sequence[MachineView]:
        """Return every machine of the app in any state; must be cheap, as each request calls it."""
        ...

    async def start(self, app: str, machine_id: str, source: str) -> None:
        """Start or resume a machine; return when it is started.

        Raises:
            StartRefusedError: It cannot be started (leased, being replaced, no room).
        """
        ...

    async def stop(self, app: str, machine_id: str, source: str) -> None:
        """Stop a machine with the signal and timeout of its `stop_config`."""
        ...

    async def suspend(self, app: str, machine_id: str, source: str) -> None:
        """Suspend a machine, or stop it where it cannot be suspended."""
        ...

    def log(self, app: str, machine_id: str | None, line: str) -> None:
        """Add a line of the proxy to the machine's log, or to the app's without a machine."""
        ...
