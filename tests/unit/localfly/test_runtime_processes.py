"""Machines as real processes: started, frozen, ended, killed for memory, adopted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.waiting import until_soon
from localfly.errors import NoAddressError, SpawnError
from localfly.images.builder import Image
from localfly.runtime import procfs
from localfly.runtime.machine_processes import Exit, ProcessSpec, Runtime, free_address

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture
def image(tmp_path):
    folder = tmp_path / "image"
    folder.mkdir()
    return Image(
        ref="thing:1",
        digest="sha256:0",
        folder=folder,
        bin=Path(sys.executable).parent,
        command=("python", "-c", SLEEP),
        env={"FROM_IMAGE": "/tmp/i", "BOTH": "image"},
    )


@pytest.fixture
def spec(tmp_path, image):
    """Makes the description of a machine's process; `code` is its Python program."""

    def make(code=SLEEP, *, argv=None, memory_mb=256, **env):
        return ProcessSpec(
            machine_id="m1",
            image=image,
            argv=argv or ["python", "-c", code],
            env=env,
            address="127.70.0.1",
            mounts={"/data": tmp_path / "volume"},
            log=tmp_path / "logs" / "m1.log",
            memory_mb=memory_mb,
            scratch=tmp_path / "scratch",
            socket=tmp_path / "api.sock",
        )

    return make


@contextlib.asynccontextmanager
async def a_runtime():
    """A runtime whose machines end with the test."""
    runtime = Runtime()
    started = []
    original = runtime.start

    async def start(spec):
        started.append(await original(spec))
        return started[-1]

    runtime.start = start
    try:
        yield runtime
    finally:
        for process in started:
            process.kill()
            await process.wait()
        await runtime.aclose()


async def until_said(spec, text):
    await until_soon(lambda: spec.log.exists() and text in spec.log.read_text())


def alive(pid):
    stat = procfs.read_stat(pid)
    return stat is not None and stat.alive


def test_a_process_sees_only_what_its_machine_gives_it(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "x")
    code = "import json, os; print(json.dumps(dict(os.environ, cwd=os.getcwd())))"

    async def scenario():
        asked = spec(code, DB="sqlite:////data/x.db", HOST="0.0.0.0", BOTH="machine")
        async with a_runtime() as runtime:
            ended = await (await runtime.start(asked)).wait()
        return ended, json.loads(asked.log.read_text())

    ended, seen = asyncio.run(scenario())

    assert ended == Exit(exit_code=0)
    assert seen["DB"] == f"sqlite:///{tmp_path}/volume/x.db"
    assert seen["HOST"] == "127.70.0.1"
    assert seen["FROM_IMAGE"] == f"{tmp_path}/scratch/tmp/i"
    assert seen["BOTH"] == "machine"
    assert seen["FLY_API_SOCKET"] == f"{tmp_path}/api.sock"
    assert seen["IMAGE_ROOT"] == seen["cwd"] == f"{tmp_path}/image"
    assert seen["HOME"] == f"{tmp_path}/scratch/home"
    assert not {"SECRET_OF_THE_DAEMON", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"} & set(seen)


def test_without_a_command_of_its_own_a_machine_runs_the_images(spec, image):
    asked = spec()
    plain = ProcessSpec(**{**vars(asked), "argv": None})

    assert plain.command() == list(image.command)


def test_an_exit_code_is_told_and_nothing_is_left(spec):
    async def scenario():
        async with a_runtime() as runtime:
            process = await runtime.start(spec("raise SystemExit(7)"))
            ended = await process.wait()
            return ended, process.running, procfs.read_stat(process.pid)

    assert asyncio.run(scenario()) == (Exit(exit_code=7), False, None)


ORPHANS = (
    "import os, signal, subprocess, sys, time\n"
    "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
    "code = f'import subprocess, time; a = subprocess.Popen({sleep}, start_new_session=True); '\n"
    "code += 'print(a.pid, flush=True); time.sleep(600)'\n"
    "child = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def test_descendants_in_sessions_of_their_own_end_with_a_main_process_that_is_killed(spec):
    """As a launcher starts its command, and Prefect's runner the process of a flow run."""

    async def scenario():
        asked = spec(ORPHANS)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_soon(lambda: asked.log.exists() and asked.log.read_text().count("\n") == 2)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            pids = [int(line) for line in asked.log.read_text().split()]
            # They are killed by now; a busy computer may take a moment to end them.
            await until_soon(lambda: not [pid for pid in pids if alive(pid)])
            return pids

    assert len(asyncio.run(scenario())) == 2


def test_descendants_whose_environment_is_not_readable_at_first_end_too(spec, monkeypatch):
    """As Linux shows none for a moment while a process starts its program, the main one as well."""
    read, seen = procfs._environ, set()

    def environ(pid):
        first = pid not in seen
        seen.add(pid)
        return [] if first else read(pid)

    monkeypatch.setattr(procfs, "_environ", environ)
    test_descendants_in_sessions_of_their_own_end_with_a_main_process_that_is_killed(spec)


def test_a_command_that_does_not_exist_is_named(spec):
    async def scenario():
        async with a_runtime() as runtime:
            await runtime.start(spec(argv=["no-such-program"]))

    with pytest.raises(SpawnError, match="no-such-program"):
        asyncio.run(scenario())


def test_a_restart_empties_the_root_and_keeps_the_log_and_the_volume(spec, tmp_path):
    (tmp_path / "volume").mkdir()
    code = (
        "import pathlib, os\n"
        "for d in (os.environ['D'], os.environ['T']):\n"
        "    p = pathlib.Path(d) / 'mark'\n"
        "    print(p.exists()); p.touch()\n"
    )

    async def scenario():
        asked = spec(code, D="/data", T="/tmp")
        async with a_runtime() as runtime:
            for _ in range(2):
                await (await runtime.start(asked)).wait()
        return asked.log.read_text().split()

    assert asyncio.run(scenario()) == ["False", "False", "True", "False"]


def test_a_log_that_grew_large_is_put_aside_at_the_next_start(spec):
    async def scenario():
        asked = spec("print('new')")
        asked.log.parent.mkdir()
        with asked.log.open("wb") as log:
            log.truncate(11 * 1024 * 1024)
        async with a_runtime() as runtime:
            await (await runtime.start(asked)).wait()
        return asked.log

    log = asyncio.run(scenario())

    assert log.read_text() == "new\n"
    assert log.with_name("m1.log.1").stat().st_size == 11 * 1024 * 1024


def test_stop_asks_with_the_signal_given(spec):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))\n"
        "print('up', flush=True); time.sleep(600)\n"
    )

    async def scenario():
        asked = spec(code)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "up")
            return await process.stop(signal.SIGUSR1, 10)

    assert asyncio.run(scenario()) == Exit(exit_code=3)


def test_who_does_not_obey_is_killed_with_its_children(spec):
    async def scenario():
        asked = spec(STUBBORN)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "\n")
            ended = await process.stop(signal.SIGTERM, 0.1)
        return ended, int(asked.log.read_text())

    ended, child = asyncio.run(scenario())

    assert ended == Exit(signal=signal.SIGKILL)
    assert not alive(child)


def test_children_end_with_their_main_process(spec):
    code = (
        "import subprocess, sys, time\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print(subprocess.Popen(sleep).pid, flush=True)\n"
        "time.sleep(0.1)\n"
    )

    async def scenario():
        asked = spec(code)
        async with a_runtime() as runtime:
            await (await runtime.start(asked)).wait()
        return int(asked.log.read_text())

    assert not alive(asyncio.run(scenario()))


def test_killing_reaches_a_child_that_left_the_session(spec):
    code = STUBBORN.replace(
        "'import time; time.sleep(600)']", "'import time; time.sleep(600)'], start_new_session=True"
    )

    async def scenario():
        asked = spec(code)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "\n")
            process.kill()
            await process.wait()
        await until_soon(lambda: not alive(int(asked.log.read_text())))

    asyncio.run(scenario())


def test_a_frozen_machine_does_nothing_until_it_is_resumed(spec):
    code = (
        "import itertools, time\n"
        "for n in itertools.count():\n"
        "    print(n, flush=True); time.sleep(0.01)\n"
    )

    async def scenario():
        asked = spec(code)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "\n")
            process.suspend()
            await until_soon(lambda: process.suspended)
            before = asked.log.read_text()
            await asyncio.sleep(0.1)
            frozen = asked.log.read_text()
            process.resume()
            await until_soon(lambda: asked.log.read_text() != before)
            return before, frozen, process.suspended

    before, frozen, suspended = asyncio.run(scenario())

    assert before == frozen
    assert not suspended


def test_who_is_resumed_before_it_froze_does_not_freeze_afterwards(spec):
    async def scenario():
        asked = spec()
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "up")
            for _ in range(50):
                process.suspend()
                process.resume()
            await asyncio.sleep(0.05)
            assert not process.suspended

    asyncio.run(scenario())


def test_it_is_frozen_when_it_was_waited_for(spec):
    async def scenario():
        asked = spec()
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "up")
            for _ in range(20):
                process.suspend()
                assert await process.frozen()
                assert process.suspended
                process.resume()

    asyncio.run(scenario())


def test_the_whole_group_is_frozen_and_resumed(spec):
    async def scenario():
        asked = spec(STUBBORN)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "\n")
            process.suspend()
            await until_soon(lambda: all(stat.frozen for stat in process.members()))
            count = len(process.members())
            process.resume()
            await until_soon(lambda: not any(stat.frozen for stat in process.members()))
            return count

    assert asyncio.run(scenario()) == 2


def test_stopping_a_frozen_machine_ends_it_without_running_it(spec):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n"
        "print('up', flush=True); time.sleep(600)\n"
    )

    async def scenario():
        asked = spec(code)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "up")
            process.suspend()
            await until_soon(lambda: process.suspended)
            ended = await process.stop(signal.SIGTERM, 10)
        return ended, asked.log.read_text()

    assert asyncio.run(scenario()) == (Exit(signal=signal.SIGKILL), "up\n")


def test_a_machine_that_takes_more_memory_than_it_has_is_killed(spec):
    async def scenario():
        asked = spec("x = b'x' * (200 << 20); import time; time.sleep(600)", memory_mb=64)
        async with a_runtime() as runtime:
            ended = await (await runtime.start(asked)).wait()
        return ended, asked.log.read_text()

    ended, log = asyncio.run(scenario())

    assert ended == Exit(signal=signal.SIGKILL, oom_killed=True)
    assert "Out of memory" in log
    assert "of 64 MB" in log


def test_memory_of_children_counts(spec):
    code = (
        "import subprocess, sys, time\n"
        "take = \"x = b'x' * (60 << 20); import time; time.sleep(600)\"\n"
        "for _ in range(3): subprocess.Popen([sys.executable, '-c', take])\n"
        "time.sleep(600)\n"
    )

    async def scenario():
        async with a_runtime() as runtime:
            return await (await runtime.start(spec(code, memory_mb=128))).wait()

    assert asyncio.run(scenario()).oom_killed


def test_what_runs_in_a_machine_is_listed(spec):
    code = (
        "import socket, time\n"
        "s = socket.create_server(('127.70.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "time.sleep(600)\n"
    )

    async def scenario():
        asked = spec(code)
        async with a_runtime() as runtime:
            process = await runtime.start(asked)
            await until_said(asked, "\n")
            return process.processes(), process.memory_bytes(), process.pid, asked.log.read_text()

    (info,), memory, pid, port = asyncio.run(scenario())

    assert info.pid == pid
    assert info.command.startswith("python -c")
    assert info.listening == (("tcp", f"127.70.0.1:{port.strip()}"),)
    assert 1_000_000 < memory <= 2 * info.rss


def start_by_a_process_that_is_killed(log):
    """Start a machine from a Python that is killed; return what remains of it."""
    starter = (
        "import asyncio, os, sys, json, signal, pathlib\n"
        "from localfly.images.builder import Image\n"
        "from localfly.runtime.machine_processes import ProcessSpec, Runtime\n"
        "base = pathlib.Path(sys.argv[1])\n"
        "image = Image('x', 'y', base, pathlib.Path(sys.executable).parent, ())\n"
        "async def main():\n"
        "    process = await Runtime().start(ProcessSpec('m', image,\n"
        "        ['python', '-c', 'import time; time.sleep(600)'], {}, '127.70.0.1', {},\n"
        "        base / 'log', 256, base / 'scratch', base / 'sock'))\n"
        "    print(json.dumps([process.pid, process.create_time]), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", starter, str(log)], env=env, stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    return json.loads(done.stdout)


def test_a_machine_outlives_a_killed_daemon_and_is_adopted(tmp_path):
    pid, create_time = start_by_a_process_that_is_killed(tmp_path)

    async def scenario():
        runtime = Runtime()
        adopted = runtime.adopt(pid, create_time, memory_mb=256)
        was_alive = adopted is not None and alive(pid)
        ended = await adopted.stop(signal.SIGTERM, 10)
        await runtime.aclose()
        return was_alive, ended, runtime.adopt(pid, create_time)

    assert asyncio.run(scenario()) == (True, Exit(), None)


def test_a_pid_that_was_used_again_is_not_adopted(spec):
    async def scenario():
        async with a_runtime() as runtime:
            process = await runtime.start(spec())
            return (
                runtime.adopt(process.pid, process.create_time - 1.0),
                runtime.adopt(2**22 - 1, 1.0),
            )

    assert asyncio.run(scenario()) == (None, None)


def test_closing_the_runtime_leaves_machines_running(spec):
    async def scenario():
        runtime = Runtime()
        process = await runtime.start(spec())
        await runtime.aclose()
        later = Runtime()
        adopted = later.adopt(process.pid, process.create_time)
        ended = await adopted.stop(signal.SIGKILL, 10)
        await later.aclose()
        return ended

    assert asyncio.run(scenario()) == Exit(signal=signal.SIGKILL)


def test_an_address_is_loopback_and_free_on_every_port():
    address = free_address([4200, 8080])

    assert 64 <= int(address.split(".")[1]) <= 127
    assert address.startswith("127.")


def test_a_port_held_on_every_address_is_told():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(NoAddressError, match=str(port)):
            free_address([port])
