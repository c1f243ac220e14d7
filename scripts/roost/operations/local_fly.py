"""The local Fly as a client sees it: started as a process, called over HTTP, never imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from roost.errors import LocalFlyError
from roost.errors.command import Command
from roost.http.connection import certificates, is_this_computer

BUILD_LIMIT_S = 900
START_LIMIT_S = 60
CALL_FAILURES = (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError)
"""What a call raises if the local Fly ended, or if another program answers at its port."""


@dataclass(frozen=True)
class Memory:
    """Memory of a machine in MB: now, at most since it started, and its limit."""

    used: int
    peak: int
    limit: int


@dataclass(frozen=True)
class LocalFly:
    """A local Fly at `api_url`; its own endpoints are under `/localfly`, beside Fly's `/v1`."""

    api_url: str

    async def status(self) -> dict[str, Any]:
        """Return what it runs: apps with their addresses, machines with their states."""
        with _calling():
            async with self._http() as http:
                answer = await http.get("/localfly/status")
            answer.raise_for_status()
            status: dict[str, Any] = answer.json()
            return {**status, "pid": int(status["pid"]), "apps": dict(status["apps"])}

    async def app_url(self, app: str) -> str:
        """Return the address of an app, such as `http://127.0.0.1:40123`; empty if unknown."""
        return (await self.app_urls()).get(app, "")

    async def app_urls(self) -> dict[str, str]:
        """Return the address of each app by its name; an empty one if it has none."""
        apps = (await self.status())["apps"]
        return {name: str(app["url"]) for name, app in apps.items()}

    async def memory_mb(self, app: str) -> Memory | None:
        """Return the memory of the app's first running machine; None if none runs."""
        with _calling():
            async with self._http() as http:
                answer = await http.get("/localfly/memory", params={"app": app})
            answer.raise_for_status()
            for machine in answer.json()["machines"]:
                return Memory(*(int(machine[f"{name}_mb"]) for name in ("used", "peak", "limit")))
        return None

    async def log(self, app: str) -> str:
        """Return the end of the log of the app's machines."""
        with _calling():
            async with self._http() as http:
                answer = await http.get("/localfly/logs", params={"app": app})
            answer.raise_for_status()
        return answer.text

    async def has_image(self, ref: str) -> bool:
        """Return whether a machine can start from this image reference."""
        with _calling():
            async with self._http() as http:
                answer = await http.get("/localfly/images", params={"ref": ref})
        return answer.status_code == httpx.codes.OK

    async def build_image(
        self, context: Path, version: str, ref: str, on_progress: Callable[[str], None]
    ) -> None:
        """Build the image from the folder of its parts, unless it is built already.

        Raises:
            LocalFlyError: the build failed; it left nothing behind.
        """
        request = {"context": str(context), "version": version, "ref": ref}
        with _calling():
            async with (
                self._http(timeout=BUILD_LIMIT_S) as http,
                http.stream("POST", "/localfly/images", json=request) as answer,
            ):
                await _follow(answer, ref, on_progress)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Yield the events of all machines from now on."""
        with _calling((httpx.HTTPError,)):
            async with (
                self._http(timeout=None) as http,
                http.stream("GET", "/localfly/events", params={"follow": "1"}) as answer,
            ):
                yield (json.loads(line) async for line in answer.aiter_lines() if line)

    def _http(self, timeout: float | None = 30) -> httpx.AsyncClient:
        # trust_env is off: a proxy for the internet must not get requests for 127.0.0.1.
        return httpx.AsyncClient(
            base_url=self.api_url,
            timeout=timeout,
            trust_env=False,
            verify=certificates(self.api_url),
        )


@contextmanager
def _calling(kinds: tuple[type[Exception], ...] = CALL_FAILURES) -> Iterator[None]:
    """Turn the failures of a call into one error with a hint."""
    try:
        yield
    except kinds as error:
        raise LocalFlyError(
            f"The local Fly does not answer as it should ({type(error).__name__}).",
            advice=f"See its log: {Command('local', 'logs')}. Then run the same command again.",
        ) from error


async def _follow(answer: httpx.Response, ref: str, on_progress: Callable[[str], None]) -> None:
    """Report the progress of a build until it ends.

    Raises:
        LocalFlyError: the build failed.
    """
    async for line in answer.aiter_lines():
        report = json.loads(line) if line else {}
        if "error" in report:
            raise LocalFlyError(
                f"The image {ref} could not be built: {report['error']}",
                advice="Fix what it names and run the same command again.",
            )
        if "progress" in report:
            on_progress(str(report["progress"]))


async def find_local_fly(home: Path) -> LocalFly | None:
    """Return the running local Fly that keeps its state in `home`; None if none runs.

    A killed one leaves its record behind, and another program may use its port by now, perhaps
    another local Fly: the process id tells them apart.
    """
    try:
        record = json.loads((home / "daemon.json").read_text(encoding="utf-8"))
        local = LocalFly(record["api_url"])
        pid = (await local.status())["pid"]
        same = record.get("pid", pid) == pid
    except (OSError, ValueError, KeyError, TypeError, httpx.InvalidURL, LocalFlyError):
        return None
    return local if same else None


def local_fly_at(url: str) -> LocalFly | None:
    """Return the local Fly at a base URL of this computer; None for any other. Makes no call."""
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        return None
    return LocalFly(url.rstrip("/")) if is_this_computer(host) else None


async def start_local_fly(home: Path, environ: Mapping[str, str], port: int | None) -> LocalFly:
    """Start a local Fly in the background and wait until it answers.

    Raises:
        LocalFlyError: it did not start; the message has its output.
    """
    wanted = ["--port", str(port)] if port is not None else []
    await run_localfly(home, environ, "start", "--detach", *wanted)
    local = await find_local_fly(home)
    if local is None:
        raise LocalFlyError(
            "The local Fly started but does not answer.",
            advice=f"See its log: {Command('local', 'logs')}",
        )
    return local


async def run_localfly(home: Path, environ: Mapping[str, str], *arguments: str) -> str:
    """Run one command of the local Fly and return what it printed.

    Raises:
        LocalFlyError: it ended with an error; the message has its output.
    """
    try:
        with anyio.fail_after(START_LIMIT_S):
            # A session of its own: Ctrl-C reaches only this process, which stops it in order.
            done = await anyio.run_process(
                [sys.executable, "-m", "localfly", *arguments],
                env={**environ, "LOCALFLY_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                check=False,
                start_new_session=True,
            )
    except TimeoutError:
        raise LocalFlyError(
            f"`localfly {arguments[0]}` took more than {START_LIMIT_S} s.",
            advice=f"See its log: {Command('local', 'logs')}",
        ) from None
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip() or "no reason given"
        raise LocalFlyError(f"The local Fly: {message}")
    return done.stdout.decode(errors="replace")
