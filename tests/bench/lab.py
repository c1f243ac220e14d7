"""What all subjects share: the image, the environment, and the two servers.

Ours and stock run in one locked environment: the same interpreter, the same packages, the same
settings. They differ only in what Roost adds.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from bench.client import Client, basic
from bench.process import Program, Running, running
from localfly.images.builder import Image, Images
from roost.environment.load import EnvironmentFile, load_environment
from roost.plan.image import image_reference, read_image_parts
from roost.plan.machine_config import machine_config

SOURCE = "staging"
LOGIN = "admin:bench"
AUTH = "PREFECT_SERVER_API_AUTH_STRING"
# Services that run once after a start have run by then.
SETTLE_S = 3.0
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


class Side(Enum):
    """The server to measure."""

    STOCK = "stock"
    OURS = "ours"


@dataclass(frozen=True)
class Lab:
    """One session of measurements."""

    project: Path
    cache: Path
    scratch: Path
    image: Image
    file: EnvironmentFile
    runs: int
    seconds: float
    tell: Callable[[str], None]
    smallest: bool = False
    """Whether a subject does the least that shows that it runs."""
    scale: float = 1.0
    """The share of its full load that the subject `replicas` puts on a server."""
    _homes: dict[Side, Path] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        """Return a new, empty folder."""
        return Path(mkdtemp(prefix=f"{name}-", dir=self.scratch))

    def used_home(self, side: Side) -> Path:
        """Return a copy of a PREFECT_HOME that the same server has used before."""
        if not self._homes:
            self._homes.update(prepare_homes(self))
        home = self.folder(f"{side.value}-home")
        shutil.copytree(self._homes[side], home, dirs_exist_ok=True)
        return home

    def environ(self, home: Path) -> dict[str, str]:
        """Return the variables of both servers."""
        return {
            "PATH": f"{self.image.bin}:{_SYSTEM_PATH}",
            "HOME": str(self.folder("user")),
            "TMPDIR": str(self.folder("tmp")),
            "LANG": "C.UTF-8",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            **self.file.environment.prefect.settings,
            "PREFECT_HOME": str(home),
            AUTH: LOGIN,
        }


@contextmanager
def open_lab(
    project: Path,
    cache: Path,
    runs: int,
    seconds: float,
    tell: Callable[[str], None],
    *,
    smallest: bool = False,
    scale: float = 1.0,
) -> Iterator[Lab]:
    """Build the image of the example or take it from the cache; clean up everything else."""
    file = load_environment(SOURCE, project / "tests" / "examples")
    version, deploy = file.environment.prefect.version, project / "deploy"
    ref = image_reference("roost-bench", version, read_image_parts(deploy, version))
    build = asyncio.run(Images(cache).build(deploy, version, ref, tell))
    # Killed servers may leave temporary files that vanish meanwhile.
    with TemporaryDirectory(prefix="roost-bench-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        yield Lab(project, cache, folder, build.image, file, runs, seconds, tell, smallest, scale)


def program(lab: Lab, side: Side, home: Path, extra: Mapping[str, str] | None = None) -> Program:
    """Return a server on a home folder: `prefect server start`, or the machine's program."""
    port = str(free_port())
    address = {"PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": port}
    argv, own = stock(lab) if side is Side.STOCK else ours(lab)
    env = {**own, **lab.environ(home), **address, **(extra or {})}
    log = lab.folder(f"{side.value}-log") / "log"
    return Program(argv, env, lab.image.folder, log, f"http://127.0.0.1:{port}")


def stock(lab: Lab) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return stock's command and its own variables."""
    # By default stock copies its UI into its packages, which both servers share.
    own = {"PREFECT_SERVER_UI_STATIC_DIRECTORY": str(lab.scratch / "stock-ui")}
    return (str(lab.image.bin / "prefect"), "server", "start"), own


def ours(lab: Lab) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the command of our machines and the variables that Roost sets."""
    config = machine_config(lab.file, lab.image.ref, "app-1")
    # There is no Fly here that could wake it.
    alone = {"IMAGE_ROOT": str(lab.image.folder), "ROOST_IDLE_ACTION": "off"}
    return lab.image.command, {**lab.image.env, **config["env"], **alone}


@contextmanager
def both(lab: Lab, extra: Mapping[str, str] | None = None) -> Iterator[dict[Side, Running]]:
    """Start both servers on used homes at once, and wait until they are healthy and settled."""
    with ExitStack() as stack:
        servers = {
            side: stack.enter_context(running(program(lab, side, lab.used_home(side), extra)))
            for side in Side
        }
        for server in servers.values():
            server.wait_healthy()
        time.sleep(SETTLE_S)
        yield servers


def prepare_homes(lab: Lab) -> dict[Side, Path]:
    """Let each server create its database and be used a little, once for each session."""
    lab.tell("preparing a used volume for each side")
    homes = {side: lab.folder(f"{side.value}-prepared") for side in Side}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(running(program(lab, side, home))) for side, home in homes.items()
        ]
        for server in servers:
            server.wait_healthy()
            with Client(server.program.url, basic(LOGIN)) as client:
                client.post("/api/flows/", {"name": "bench"})
        time.sleep(SETTLE_S)
    return homes


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
