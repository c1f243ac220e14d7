"""The flow of the subject `work`, served by the local Fly asleep, and by a process that never sleeps."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.flow_runs import LOOK_S, find_deployment
from bench.lab import Lab
from bench.process import Program, running
from helpers.prefect_process import LOGIN as STOCK_LOGIN
from helpers.prefect_process import PrefectProcess
from helpers.prefect_site import IDLE_S, LOGIN, PrefectSite

EXAMPLE = Path("examples") / "flows" / "nightly" / "serve_flows.py"
DEPLOYMENT = "by-hand"
FLOW_APP = "/apps/acme-prefect-nightly"
ASLEEP_LIMIT_S = 180.0
WAKE_EVERY_S = 1.0


@dataclass(frozen=True)
class Served:
    """A deployment of the example, and the server that has it."""

    url: str
    login: str
    deployment: str


@dataclass(frozen=True)
class Pair:
    """A server and a flow server on a local Fly of their own; both sleep by the same action."""

    site: PrefectSite
    served: Served
    asleep: str
    """The state of a machine that sleeps: `suspended` or `stopped`."""

    def wait_asleep(self, *, server_too: bool) -> None:
        """Wait until the flow server put itself to sleep, and the server too or kept awake.

        Raises:
            BenchError: they did not within ASLEEP_LIMIT_S.
        """
        ends = time.monotonic() + ASLEEP_LIMIT_S
        while not self._sleeps(server_too=server_too):
            if time.monotonic() > ends:
                raise BenchError(f"Not {self.asleep} after {ASLEEP_LIMIT_S:.0f} s.")
            if not server_too:
                self.site.wake()
            time.sleep(WAKE_EVERY_S)
        if not server_too:
            self.site.wake()

    def _sleeps(self, *, server_too: bool) -> bool:
        [machine] = self.site.daemon.call("GET", f"{FLOW_APP}/machines")
        states = {machine["state"], *([self.site.state] if server_too else [])}
        return states == {self.asleep}


@contextmanager
def sleeping_pair(lab: Lab, action: str) -> Iterator[Pair]:
    """Bring up a server and a flow server with the example by one `roost apply`."""
    folder = lab.folder(f"site-{action}")
    version = lab.file.environment.prefect.version
    code = folder / "flows" / "nightly"
    code.mkdir(parents=True)
    shutil.copy(lab.project / EXAMPLE, code)
    # The server's own lock, so that ours and stock run in one environment.
    shutil.copy(
        lab.project / "deploy" / "locks" / f"prefect-{version}.txt", code / "requirements.txt"
    )
    entry = {
        "name": "nightly",
        "path": "flows/nightly",
        "command": ["python", EXAMPLE.name],
        "autostop": action,
        "idle_after": f"{IDLE_S}s",
    }
    site = PrefectSite(folder, lab.cache)
    try:
        scaling = {"autostop": action, "idle_after": f"{IDLE_S}s"}
        site.start(scaling=scaling, prefect={"version": version}, flows=[entry]).bring_up()
        asleep = {"suspend": "suspended", "stop": "stopped"}[action]
        yield Pair(site, wait_served(site.url(), LOGIN), asleep)
    finally:
        site.daemon.clean()


@contextmanager
def always_on(lab: Lab, **settings: str) -> Iterator[Served]:
    """Run a stock server, and beside it a process with `serve()` that never sleeps.

    Args:
        lab: the session.
        settings: variables of the process with `serve()`.
    """
    home = lab.folder("serve-home")
    server = PrefectProcess(lab.image, lab.folder("stock"), stock=True)
    with server:
        env = {
            **lab.environ(home),
            "PREFECT_API_URL": f"{server.url}/api",
            "PREFECT_API_AUTH_STRING": STOCK_LOGIN,
            **settings,
        }
        argv = (str(lab.image.bin / "python"), str(lab.project / EXAMPLE))
        with running(Program(argv, env, home, home / "log", server.url)):
            yield wait_served(server.url, STOCK_LOGIN)


def wait_served(url: str, login: str) -> Served:
    """Wait until the example's deployment is there.

    Raises:
        BenchError: it is not within ASLEEP_LIMIT_S.
    """
    found = wait_for(lambda: find_deployment(url, login, DEPLOYMENT), ASLEEP_LIMIT_S)
    return Served(url, login, found)


def wait_for(look: Callable[[], str | None], limit_s: float) -> str:
    """Return the first text that `look` returns.

    Raises:
        BenchError: it returned none within the limit in seconds.
    """
    ends = time.monotonic() + limit_s
    while (found := look()) is None:
        if time.monotonic() > ends:
            raise BenchError(f"The flows were not served after {limit_s:.0f} s.")
        time.sleep(LOOK_S)
    return found
