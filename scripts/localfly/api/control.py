"""The local Fly's own endpoints, outside `/v1`: what Fly itself does by other means."""

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
    """GET /localfly/status: what runs, and where it answers."""
    world = api.world
    apps = {
        app.name: {
            "port": app.port,
            # By number: `APP.localhost` has no address in glibc's resolver, so Prefect's own client
            # could not be pointed at it. The port alone says which app is meant.
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
    """GET /localfly/memory?app=: what each running machine uses, used at most, and has, in MB."""
    app = api.world.app(request.query_params.get("app") or "")
    lives = ((m, api.machines.processes.life(m).process) for m in api.world.machines_of(app.name))
    return JSONResponse(
        {
            "machines": [
                {"id": machine.id, **_memory(process.memory_bytes(), process)}
                for machine, process in lives
                if process is not None
            ]
        }
    )


def _memory(used: int, process: RunningProcess) -> Json:
    """Return the figures of one machine; what is in use now may be more than was seen before."""
    most = max(used, process.peak_bytes)
    return {"used_mb": used // MB, "peak_mb": most // MB, "limit_mb": process.memory_mb}


async def stop(api: ApiState, _: Request) -> Response:
    """POST /localfly/stop: end machines and daemon in order."""
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
    """POST /localfly/images: build from a folder of parts; one JSON object a line."""
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
    """GET /localfly/events: what machines do from now on, one JSON object a line."""
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
                yield "\n"  # notices a reader that went away
    finally:
        world.unfollow(queue)


async def logs(api: ApiState, request: Request) -> Response:
    """GET /localfly/logs?app=&follow=: what machines wrote, or the daemon's own log."""
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
