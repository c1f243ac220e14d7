"""The proxy in front of a real process, which is frozen with SIGSTOP and woken by requests."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx

from helpers.fake_machines import FakeHost, service
from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S, until_soon
from localfly.images.builder import Image
from localfly.proxy.addresses import MachineView, Proxy
from localfly.runtime.machine_processes import ProcessSpec, Runtime, free_address

PORT = 8080
SERVER = (
    "import http.server, os\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    protocol_version = 'HTTP/1.1'\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers()\n"
    "        self.wfile.write(b'ok')\n"
    f"http.server.ThreadingHTTPServer((os.environ['HOST'], {PORT}), Handler).serve_forever()\n"
)


class ProcessHost(FakeHost):
    """One machine that is a process: started cold, frozen, and resumed."""

    def __init__(self, folder):
        super().__init__()
        self.runtime = Runtime()
        self.process = None
        image = Image("thing:1", "sha256:0", folder, Path(sys.executable).parent, ())
        address = free_address([PORT])
        self.spec = ProcessSpec(
            machine_id="real",
            image=image,
            argv=["python", "-c", SERVER],
            env={"HOST": "0.0.0.0"},
            address=address,
            mounts={},
            log=folder / "log",
            memory_mb=256,
            scratch=folder / "scratch",
            socket=folder / "socket",
        )
        config = {"services": [service(PORT, autostop="suspend")]}
        self.views["real"] = MachineView("real", "real", "stopped", config, address, "iad")

    async def start(self, _app, machine_id, source):
        """Resume a frozen process, or start one."""
        self.calls.append(("start", source))
        if self.process is None:
            self.process = await self.runtime.start(self.spec)
        else:
            self.process.resume()
        self.put(machine_id, state="started")

    async def suspend(self, _app, machine_id, source):
        """Freeze the process."""
        self.calls.append(("suspend", source))
        self.process.suspend()
        self.put(machine_id, state="suspended")

    async def aclose(self):
        """End the process."""
        self.process.kill()
        await self.process.wait()
        await self.runtime.aclose()


async def ask_all(client, count):
    answers = await asyncio.gather(*(client.get("/") for _ in range(count)))
    return {answer.text for answer in answers}


def test_a_process_is_started_cold_put_to_sleep_and_woken_by_requests(tmp_path):
    async def scenario():
        host = ProcessHost(tmp_path)
        proxy = Proxy(host)
        port = await proxy.open("app")
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, verify=NO_TLS
            ) as client:
                cold = await ask_all(client, 20)
                await until_soon(lambda: not proxy.load("app"))
                await proxy.autostop.sweep()
                frozen = await host.process.frozen()
                warm = await ask_all(client, 20)
        finally:
            await proxy.aclose()
            await host.aclose()
        return cold, frozen, warm, host.calls

    cold, frozen, warm, calls = asyncio.run(scenario())

    assert cold == warm == {"ok"}
    assert frozen
    assert calls == [("start", "proxy"), ("suspend", "proxy"), ("start", "proxy")]
