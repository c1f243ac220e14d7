"""Fly's health checks: the host sends them, not the proxy, so they neither add load nor wake."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from localfly.config.durations import seconds
from localfly.runtime.process import RunningProcess
from localfly.state.records import timestamp

Json = dict[str, Any]

INTERVAL_S = 10.0
TIMEOUT_S = 2.0
GRACE_S = 5.0
REFUSED = "connect: connection refused"
"""What Fly's checks say where nothing listens (inferred)."""


@dataclass
class _Result:
    name: str
    status: str = "warning"
    output: str = "waiting for status update"
    updated_at: str = ""
    seen: bool = False

    def document(self) -> Json:
        return {
            "name": self.name,
            "status": self.status,
            "output": self.output,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True)
class _Check:
    """One check and its last result; `routes` if a failing check stops routing to the machine."""

    config: Json
    port: int
    result: _Result
    routes: bool


def _checks(config: Json) -> Iterator[_Check]:
    """Return the checks of a config with Fly's names for them."""
    for service in config.get("services") or []:
        for index, check in enumerate(service.get("checks") or []):
            port = int(check.get("port") or service["internal_port"])
            name = f"servicecheck-{index:02d}-{check['type']}-{port}"
            yield _Check(check, port, _Result(name, updated_at=timestamp()), routes=True)
    for name, check in (config.get("checks") or {}).items():
        ready = check.get("kind") == "readiness"
        yield _Check(check, int(check["port"]), _Result(name, updated_at=timestamp()), routes=ready)


class CheckRunner:
    """Runs the checks of one machine while its process runs."""

    def __init__(self, config: Json, address: str) -> None:
        self._address = address
        self._began = time.monotonic()
        self._awake = asyncio.Event()
        self._awake.set()
        self._checks = list(_checks(config))

    def results(self) -> list[Json]:
        """Return the last result of each check in the API's form."""
        return [check.result.document() for check in self._checks]

    def passing(self) -> bool | None:
        """Return whether all checks for routing pass; None while one has no result."""
        results = [check.result for check in self._checks if check.routes]
        if not results or not all(result.seen for result in results):
            return None
        return all(result.status == "passing" for result in results)

    def pause(self) -> None:
        """Stop checking while the machine is suspended."""
        self._awake.clear()

    def resume(self) -> None:
        """Check again; results from before the suspend do not count."""
        for check in self._checks:
            check.result.seen = False
        self._began = time.monotonic()
        self._awake.set()

    async def run(self, process: RunningProcess) -> None:
        """Check until the process ends."""
        # It trusts nobody: to read the system's certificates would hold up all machines for 20 ms.
        no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with httpx.AsyncClient(trust_env=False, verify=no_tls) as http:
            rounds = [asyncio.ensure_future(self._repeat(http, check)) for check in self._checks]
            try:
                await process.wait()
            finally:
                for task in rounds:
                    task.cancel()
                await asyncio.gather(*rounds, return_exceptions=True)

    async def _repeat(self, http: httpx.AsyncClient, check: _Check) -> None:
        while True:
            await self._awake.wait()
            await self._once(http, check)
            await asyncio.sleep(seconds(check.config.get("interval"), INTERVAL_S))

    async def _once(self, http: httpx.AsyncClient, check: _Check) -> None:
        limit = seconds(check.config.get("timeout"), TIMEOUT_S)
        ok, output = await (
            self._http(http, check, limit)
            if check.config["type"] == "http"
            else self._tcp(check.port, limit)
        )
        grace = seconds(check.config.get("grace_period"), GRACE_S)
        result = check.result
        result.seen = ok or time.monotonic() - self._began > grace
        result.status = "passing" if ok else "critical"
        result.output, result.updated_at = output, timestamp()

    async def _http(self, http: httpx.AsyncClient, check: _Check, limit: float) -> tuple[bool, str]:
        config = check.config
        url = f"http://{self._address}:{check.port}{config.get('path') or '/'}"
        headers = [
            (header["name"], value)
            for header in config.get("headers") or []
            for value in header.get("values") or []
        ]
        verb = (config.get("method") or "GET").upper()
        try:
            answer = await http.request(verb, url, timeout=limit, headers=headers)
        except httpx.ConnectError:
            return False, REFUSED
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return False, f"{type(error).__name__}"
        return answer.is_success, f"{answer.status_code}: {answer.text[:200]}"

    async def _tcp(self, port: int, limit: float) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(limit):
                _, writer = await asyncio.open_connection(self._address, port)
        except ConnectionRefusedError:
            return False, REFUSED
        except (OSError, TimeoutError) as error:
            return False, f"{type(error).__name__}"
        writer.close()
        return True, "connected"
