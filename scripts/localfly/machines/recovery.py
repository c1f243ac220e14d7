"""Recover at start from a killed daemon: adopt, end or restart its machines.

The previous daemon may have been killed at any moment. What it reported is stored; what it had begun
is completed or undone here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

from localfly.machines.lifecycle import Machines
from localfly.machines.process_spec import log_path
from localfly.machines.restart_policy import policy_of
from localfly.runtime.machine_processes import Runtime
from localfly.runtime.machine_sockets import MachineSockets
from localfly.runtime.process import Exit, RunningProcess
from localfly.state.records import Machine
from localfly.state.world import World

# In these states, the process of a machine was being stopped.
LEAVING = frozenset({"stopping", "replacing", "destroyed"})
# In these states, a machine ran or was being started: a host that boots starts it again.
WANTED_UP = frozenset({"started", "starting"})


async def recover(
    world: World, machines: Machines, runtime: Runtime, sockets: MachineSockets
) -> None:
    """Make processes, records and folders consistent again."""
    world.tidy()
    for machine in list(world.machines.values()):
        process = _find(world, runtime, machine)
        if process is None:
            _record_loss(machines, machine)
        elif machine.state in LEAVING or machine.launch_pending:
            await _finish_end(machines, machine, process)
        else:
            await sockets.open(machine.app, machine.id)
            _adopt(machines, machine, process)
    _end_strays(world)
    _remove_roots(world)


def _find(world: World, runtime: Runtime, machine: Machine) -> RunningProcess | None:
    if machine.pid is None:
        return None
    return runtime.adopt(
        machine.pid,
        machine.create_time,
        memory_mb=machine.config["guest"]["memory_mb"],
        log=log_path(world.home, machine.id),
    )


def _adopt(machines: Machines, machine: Machine, process: RunningProcess) -> None:
    """Adopt a running process. A frozen one was suspended, or its volume was being copied."""
    if machine.state != "suspended":
        process.resume()
    state = "suspended" if process.suspended else "started"
    machines.processes.set_state(machine, state)
    machines.processes.watch(machine, process)


async def _finish_end(machines: Machines, machine: Machine, process: RunningProcess) -> None:
    process.kill()
    ended = await process.wait()
    machine.pid = None
    if machine.state == "destroyed":
        machines.processes.set_state(machine, "destroyed")
        return
    machines.processes.note_exit(machine, ended, requested=True)
    machines.processes.set_state(machine, "stopped")
    machines.launch_pending(machine)


def _record_loss(machines: Machines, machine: Machine) -> None:
    """Record an exit that no daemon saw, and start again what should run."""
    if machine.state in ("destroyed", "created", "stopped", "failed") and machine.pid is None:
        machines.launch_pending(machine)
        return
    if machine.state in WANTED_UP and policy_of(machine.config) != "no":
        machine.launch_pending = True
    if machine.pid is not None:
        machine.pid = None
        machines.processes.note_exit(
            machine, Exit(), requested=False, restarting=bool(machine.launch_pending)
        )
    machines.processes.set_state(machine, "stopped")
    machines.launch_pending(machine)


def _end_strays(world: World) -> None:
    """Kill processes of unknown machines, which were started just before the daemon was killed.

    They are recognised by HOME, which is a folder below this daemon's.
    """
    roots = f"{world.home / 'roots'}{os.sep}"
    known = {machine.id for machine in world.machines.values() if machine.pid is not None}
    for entry in Path("/proc").iterdir():
        machine = _machine_of(entry, roots) if entry.name.isdecimal() else None
        if machine is not None and machine not in known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)


def _machine_of(process: Path, roots: str) -> str | None:
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = b"HOME=" + os.fsencode(roots)
    homes = [v.removeprefix(prefix) for v in variables if v.startswith(prefix)]
    return os.fsdecode(homes[0]).partition(os.sep)[0] if homes else None


def _remove_roots(world: World) -> None:
    """Delete the root file systems of destroyed machines."""
    roots = world.home / "roots"
    alive = {machine.id for machine in world.machines.values() if machine.state != "destroyed"}
    for folder in roots.iterdir() if roots.is_dir() else ():
        if folder.name not in alive:
            shutil.rmtree(folder, ignore_errors=True)
