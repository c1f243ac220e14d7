"""The local Fly's own endpoints outside `/v1`: status, logs, images, stop."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from localfly.api.requests import ApiState, Endpoint, read_json, refuse_unknown
from localfly.api_errors import ApiError, not_found
from localfly.errors import LocalFlyError
from localfly.machines.process_spec import log_path
from localfly.runtime.process import RunningProcess

Json = dict[str, Any]
LINES = "application/x-ndjson"
LOOPBACK = "127.0.0.1"
TAIL_BYTES = 64 * 1024
MB = 1024 * 1024
POLL_S = 0.2


async def status(api: ApiState, _: Request) -> Response:
    """GET /localfly/status: the daemon, its apps and machines, and their addresses."""
    world = api.world
    apps = {
        app.name: {
            "port": app.port,
            # A numeric address, because glibc's resolver does not know `APP.localhost`, so
            # Prefect's own client could not use it. The port alone selects the app.
            "url": f"http://{LOOPBACK}:{app.port}" if app.port else "",
            "machines": [
                {"id": m.id, "name": m.name, "state": m.state, "region": m.region}
                for m in world.machines_of(app.name)
            ],
        }
        for app in world.apps.values()
    }
    about = {"version": api.version, "pid": os.getpid(), "api_url": api.api_url}
    return JSONResponse({**about, "home": str(world.home), "apps": apps})


async def memory(api: ApiState, request: Request) -> Response:
    """GET /localfly/memory?app=: MB that each running machine uses, used at most, and may use."""
    app = api.world.app(request.query_params.get("app") or "")
    running = ((m, api.machines.processes.live(m).process) for m in api.world.machines_of(app.name))
    return JSONResponse(
        {
            "machines": [
                {"id": machine.id, **_memory(process.memory_bytes(), process)}
                for machine, process in running
                if process is not None
            ]
        }
    )


def _memory(used: int, process: RunningProcess) -> Json:
    """Return one machine's figures; the current use may exceed the last measured peak."""
    most = max(used, process.peak_bytes)
    return {"used_mb": used // MB, "peak_mb": most // MB, "limit_mb": process.memory_mb}


async def stop(api: ApiState, _: Request) -> Response:
    """POST /localfly/stop: stop the machines, then the daemon."""
    api.stop.set()
    return JSONResponse({"ok": True})


async def find_image(api: ApiState, request: Request) -> Response:
    """GET /localfly/images?ref=."""
    ref = request.query_params.get("ref") or ""
    image = api.images.lookup(ref)
    if image is None:
        raise not_found(f"image {ref}")
    return JSONResponse({"ref": image.ref, "digest": image.digest})


async def build_image(api: ApiState, request: Request) -> Response:
    """POST /localfly/images: build an image; answers one JSON object per line."""
    body = await read_json(request)
    refuse_unknown(body, "context", "version", "ref")
    if not all(isinstance(body.get(name), str) for name in ("context", "version", "ref")):
        raise ApiError(400, "invalid_argument: context, version and ref are required")
    return StreamingResponse(_build(api, body), media_type=LINES)


async def _build(api: ApiState, body: Json) -> AsyncIterator[str]:
    lines: asyncio.Queue[Json | None] = asyncio.Queue()

    async def work() -> None:
        try:
            build = await api.images.build(
                Path(body["context"]),
                body["version"],
                body["ref"],
                lambda line: lines.put_nowait({"progress": line}),
            )
            lines.put_nowait(
                {"ref": build.image.ref, "digest": build.image.digest, "cached": build.cached}
            )
        except LocalFlyError as error:
            lines.put_nowait({"error": str(error)})
        finally:
            lines.put_nowait(None)

    task = asyncio.create_task(work())
    try:
        while (line := await lines.get()) is not None:
            yield json.dumps(line) + "\n"
    finally:
        task.cancel()


async def events(api: ApiState, _: Request) -> Response:
    """GET /localfly/events: stream the machines' events, one JSON object per line."""
    return StreamingResponse(_events(api), media_type=LINES)


async def _events(api: ApiState) -> AsyncIterator[str]:
    world, stopping = api.world, api.stop
    queue = world.follow()
    try:
        while not stopping.is_set():
            try:
                async with asyncio.timeout(1):
                    yield json.dumps(await queue.get()) + "\n"
            except TimeoutError:
                yield "\n"  # an empty line detects a client that disconnected
    finally:
        world.unfollow(queue)


async def logs(api: ApiState, request: Request) -> Response:
    """GET /localfly/logs?app=&follow=: an app's logs, or the daemon's log without `app`."""
    name = request.query_params.get("app")
    folder = api.world.home / "logs"
    paths = [folder / "daemon.log"]
    if name:
        app = api.world.app(name)
        paths = [folder / f"{app.name}.log"]
        paths += [log_path(api.world.home, m.id) for m in api.world.machines_of(name)]
    follow = bool(request.query_params.get("follow"))
    return StreamingResponse(_tail(api.stop, paths, follow=follow), media_type="text/plain")


async def _tail(
    stopping: asyncio.Event, paths: list[Path], *, follow: bool
) -> AsyncIterator[bytes]:
    offsets = {path: max(0, _size(path) - TAIL_BYTES) for path in paths}
    while True:
        for path in paths:
            if _size(path) > offsets[path]:
                with path.open("rb") as file:
                    file.seek(offsets[path])
                    chunk = file.read(TAIL_BYTES)
                offsets[path] += len(chunk)
                yield chunk
        if all(_size(path) <= offsets[path] for path in paths):
            if not follow or stopping.is_set():
                return
            await asyncio.sleep(POLL_S)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/localfly/status", status),
    ("GET", "/localfly/memory", memory),
    ("POST", "/localfly/stop", stop),
    ("GET", "/localfly/images", find_image),
    ("POST", "/localfly/images", build_image),
    ("GET", "/localfly/events", events),
    ("GET", "/localfly/logs", logs),
)
