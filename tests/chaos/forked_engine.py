"""Start the processes of flow runs as forks of one that has imported Prefect.

It runs in the image of a flow server, inside the program that calls `serve()`. An import of Prefect
is three quarters of what a short run costs. To Prefect's runner, the launcher and the kernel the
process is as any other: a child of the runner with its own id, environment, output and exit code.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import inspect
import itertools
import json
import os
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENGINE = ["-m", "prefect.engine"]
"""The arguments of the interpreter with which Prefect's runner starts a run (3.8.8, 3.9.1)."""
LOADED = ("prefect.engine", "prefect.flow_engine", "prefect._internal.metrics")
ORDINARY = 10
"""One of so many processes is started as without this module."""
ROOM = "CHAOS_ROOM"
"""A variable that makes room for those of a run, where the kernel shows the environment."""
ENV_BEGINS, ENV_ENDS = 47, 48
"""Where proc(5) has `env_start` and `env_end`, counted after the name in parentheses."""
PR_SET_CHILD_SUBREAPER = 36
REQUEST_BYTES = 65536
LOOK_S = 0.001
ENDS = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
# Methods of the standard library that type checkers do not know.
_PARTS = vars(subprocess.Popen)
_GIVEN = inspect.signature(_PARTS["_execute_child"])


def fork_engines() -> None:
    """Start the process that imports Prefect, and have it forked for the runs of this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    door, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        door.close()
        wait_for_runs(inside)
    inside.close()
    RunProcess.door = door
    vars(subprocess)["Popen"] = RunProcess


class RunProcess(subprocess.Popen[Any]):
    """A process that is forked if it is one of a run."""

    door: socket.socket
    _numbers = itertools.count(os.getpid())

    def _execute_child(self, *args: Any, **named: Any) -> None:
        given = _GIVEN.bind(self, *args, **named).arguments
        if list(given["args"])[1:] != ENGINE or next(self._numbers) % ORDINARY == 0:
            _PARTS["_execute_child"](self, *args, **named)
            return
        request = {"environ": given["env"], "folder": given["cwd"], "runner": os.getpid()}
        ends = (given[name] for name in ("p2cread", "c2pwrite", "errwrite"))
        fds = [own if end == -1 else end for own, end in enumerate(ends)]
        socket.send_fds(self.door, [json.dumps(request).encode()], fds)
        self.pid = int(self.door.recv(REQUEST_BYTES))
        self._child_created = True
        _PARTS["_close_pipe_fds"](self, *(given[name] for name in ENDS))


def wait_for_runs(door: socket.socket) -> None:
    """Fork for each request, until the runner is gone; a fork becomes the run and exits."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(door, REQUEST_BYTES, 3)
        if not message:
            os._exit(0)
        between = os.fork()
        if between == 0:
            if os.fork() != 0:
                os._exit(0)  # so that the kernel gives its child to the runner
            become_run(json.loads(message), fds, door)
        os.waitpid(between, 0)
        for each in fds:
            os.close(each)


def become_run(request: Mapping[str, Any], fds: list[int], door: socket.socket) -> None:
    """Be the process of a run, and exit as it does."""
    while os.getppid() != request["runner"]:
        time.sleep(LOOK_S)
    for number, each in enumerate(fds):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(request["environ"])
    show_environment(request["environ"])
    os.chdir(request["folder"] or ".")
    door.send(str(os.getpid()).encode())
    door.close()
    importlib.import_module("prefect.context").refresh_global_settings_context()
    sys.argv = ["prefect.engine"]
    sys.modules.pop("prefect.engine")  # `python -m` finds none either
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
    sys.exit(0)


def show_environment(environ: Mapping[str, str]) -> None:
    """Write variables to where /proc/PID/environ reads them; libc uses its copies.

    Raises:
        ValueError: there is too little room.
    """
    fields = Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()
    begins, ends = int(fields[ENV_BEGINS]), int(fields[ENV_ENDS])
    shown = b"".join(
        f"{name}={value}\0".encode() for name, value in environ.items() if name != ROOM
    )
    if len(shown) > ends - begins:
        raise ValueError(f"{ROOM} must be {len(shown) - (ends - begins)} bytes longer.")
    ctypes.memset(begins, 0, ends - begins)
    ctypes.memmove(begins, shown, len(shown))
