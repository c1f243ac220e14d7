"""What every command gets: the environment variables, the folders, the consoles and the clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from roost.fly.client import FlyClient
from roost.fly.logs import LogsClient
from roost.fly.registry import Registry
from roost.operations.generated_secrets import make_value
from roost.operations.local_fly import LocalFly, find_local_fly
from roost.prefect.package_index import PackageIndex, index_of
from roost.prefect.transport import OpenServer, prefect_client
from roost.secret_text import SecretText

if TYPE_CHECKING:
    from rich.console import Console

PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Clients:
    """How a command reaches what is outside of it; tests hand in their own factories."""

    fly: Callable[[str, SecretText], FlyClient] = FlyClient
    """Opens the Machines API at a base URL with a token."""
    logs: Callable[[str, SecretText], LogsClient] = LogsClient
    """Opens the API of logs at a base URL with a token."""
    registry: Callable[[str, SecretText], Registry] = Registry
    """Opens the image registry at a host with a token."""
    prefect: OpenServer = prefect_client
    """Opens a Prefect server at its address."""
    find_local_fly: Callable[[Path], Awaitable[LocalFly | None]] = find_local_fly
    """Finds the running local Fly that keeps its state in a folder."""
    package_index: Callable[[Mapping[str, str]], PackageIndex] = index_of
    """Opens the index of packages that the environment variables name."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """Returns the time."""
    make_value: Callable[[str], str] = make_value
    """Generates the value of a secret that nobody set, on a local Fly."""


@dataclass(frozen=True)
class Context:
    """Passed to every command, so that nothing reads the process environment or a global."""

    environ: Mapping[str, str]
    project: Path
    out: Console
    """Standard output: data, and what the command was asked for."""
    progress: Console
    """Standard error: progress and notes."""
    clients: Clients = field(default_factory=Clients)

    @property
    def environments(self) -> Path:
        """The folder of the environment files: ROOST_ENVIRONMENTS, or the project's own."""
        return Path(self.environ.get("ROOST_ENVIRONMENTS") or self.project / "environments")

    @property
    def deploy(self) -> Path:
        """The folder of what runs on machines: ROOST_DEPLOY, or the project's own."""
        return Path(self.environ.get("ROOST_DEPLOY") or self.project / "deploy")

    @property
    def prices(self) -> Path:
        """The price list; always the project's own, even for the files of another checkout."""
        return self.project / "deploy" / "prices.yaml"

    @property
    def local_home(self) -> Path:
        """The folder of the local Fly's state: LOCALFLY_HOME, or `localfly` below RUN_STATE."""
        state = self.environ.get("RUN_STATE") or self.project / ".run"
        return Path(self.environ.get("LOCALFLY_HOME") or Path(state) / "localfly")
