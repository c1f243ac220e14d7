"""A flow server's image with the real Prefect, and a machine that runs it, without any Fly."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from helpers.prefect_process import LOGIN, free_port
from helpers.waiting import LIMIT_S
from localfly.images.builder import Image, Images
from roost.environment.flow_folder import read_flow_folder
from roost.plan.image import flow_image_parts

ROOT = Path(__file__).parents[2]
EXAMPLE = "examples/flows/nightly"
PROGRAM = "serve_flows.py"
REF = "registry.fly.io/acme-nightly:test"


def build_flow_image(
    cache: Path, folder: Path, program: str | None = None, *modules: Path
) -> Image:
    """Build the image of the example's folder.

    Args:
        cache: where images are kept.
        folder: a new folder for the parts of the image.
        program: replaces the example's program.
        modules: files that the program imports; they are copied beside it.
    """
    for name, content in flow_image_parts(ROOT / "deploy", read_flow_folder(ROOT, EXAMPLE)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if program is not None:
        (folder / "code" / PROGRAM).write_text(program, "utf-8")
    for module in modules:
        shutil.copy(module, folder / "code" / module.name)
    return asyncio.run(Images(cache).build(folder, "1.0", REF)).image


class FlowMachine:
    """A machine that runs a flow server's image.

    Args:
        image: the image.
        folder: where its log and its temporary files are.
        server: the address of its Prefect server.
        fly: the variables that name the machine's own socket.
    """

    def __init__(self, image: Image, folder: Path, server: str, fly: Mapping[str, str]) -> None:
        self.image, self.log_file = image, folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True)
        self.environ = {
            "PATH": f"{image.bin}:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(self._temporary),
            "LANG": "C.UTF-8",
            **image.env,
            **fly,
            "IMAGE_ROOT": str(image.folder),
            "FLY_MACHINE_VERSION": "01V",
            "PREFECT_API_URL": f"{server}/api",
            "PREFECT_API_AUTH_STRING": LOGIN,
            "ROOST_FLOW_SERVER": "nightly",
            "ROOST_FLOW_COMMAND": json.dumps(["python", PROGRAM]),
            "ROOST_FLOW_HOST": "127.0.0.1",
            "ROOST_IDLE_ACTION": "suspend",
            "ROOST_IDLE_AFTER_S": "3600",
            "ROOST_STOP_LIMIT_S": "60",
            "ROOST_MISSED": "run_latest",
        }

    def start(self, **variables: str) -> Self:
        """Start the machine on a free port."""
        port = free_port()
        own = {"ROOST_FLOW_PORT": str(port), "ROOST_FLOW_ADDRESS": f"http://127.0.0.1:{port}"}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                # A shell starts what it runs in the background with SIGINT ignored.
                ["env", "--default-signal=INT", *self.image.command],
                env={**self.environ, **own, **variables},
                cwd=self.image.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def log(self) -> str:
        """Return all that it has written."""
        return self.log_file.read_text("utf-8", "replace")

    @property
    def is_alive(self) -> bool:
        """Whether its launcher runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it as Fly does, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def die(self) -> None:
        """Kill everything that runs on it at once, as a host that fails does."""
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(LIMIT_S)

    def pids(self, variable: str = "") -> dict[int, str]:
        """Return the processes that run on it, each with its value of a variable, or an empty text."""
        mine, named = f"TMPDIR={self._temporary}".encode(), f"{variable}=".encode()
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            with suppress(OSError, IndexError):
                variables = (folder / "environ").read_bytes().split(b"\0")
                state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
                if mine in variables and state not in (b"Z", b"X"):
                    value = next((each for each in variables if each.startswith(named)), b"")
                    found[int(folder.name)] = value[len(named) :].decode()
        return found
