"""The endpoints below /roost/flow-servers, which launchers of flow servers and Roost call."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from roost_server.asgi import App, Receive, Scope, Send, answer
from roost_server.due_runs import active_runs, deployment_names, waiting_runs
from roost_server.flow_server_book import Book, FencedError
from roost_server.flow_server_requests import LONGEST_BODY, answer_failure, answer_json
from roost_server.flow_server_wake import Waker
from roost_server.flow_server_watch import first_due
from roost_server.flow_servers import NAME, BadOnlineError, FlowServer, read_caller, read_online
from roost_server.maintenance_mode import is_logged_in
from roost_server.missing_processes import read_missing
from roost_server.next_due import DueTimes
from roost_server.prefect_internals import installed
from roost_server.untaken_runs import explain_untaken, names_of
from roost_server.write_queue import ORIGIN, Origin
from roost_server.write_requests import read_body

ROOT = "/roost/flow-servers"
PATH = re.compile(
    rf"{ROOT}(?:/(?P<name>{NAME.pattern})(?:/(?P<what>online|canary|drain|wake))?)?/?"
)


class FlowServerEndpoints:
    """Answers the endpoints; everything else passes.

    Args:
        book: the flow servers.
        waker: wakes them.
        due_times: know when this server is needed next.
        environ: holds the login.
    """

    def __init__(
        self, book: Book, waker: Waker, due_times: DueTimes, environ: Mapping[str, str]
    ) -> None:
        self._book = book
        self._waker = waker
        self._due_times = due_times
        self._environ = environ

    def layer(self, app: App) -> App:
        """Put the endpoints before an application."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            is_ours = scope["type"] == "http" and (
                scope["path"] == ROOT or scope["path"].startswith(f"{ROOT}/")
            )
            if not is_ours:
                await app(scope, receive, send)
            elif not is_logged_in(scope, self._environ):
                await answer(send, 401)
            else:
                await self._answer(scope, receive, send)

        return serve

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        ORIGIN.set(Origin.REQUEST)
        with closing(tempfile.SpooledTemporaryFile()) as file:
            body = await read_body(receive, file)
            file.seek(0)
            text = file.read(LONGEST_BODY)
        if body.disconnect:
            return
        try:
            await self._book.load()
            if caller := read_caller(scope):
                self._book.check(caller)
                if (missing := read_missing(scope)) is not None:
                    self._book.note_missing(caller, missing)
            await self._route(scope, text, send)
        except FencedError as error:
            await answer_json(send, 409, {"detail": str(error)})
        except BadOnlineError as error:
            await answer_json(send, 422, {"detail": str(error)})
        except Exception as error:  # noqa: BLE001 - any failure of the database is answered alike
            await answer_failure(send, error)

    async def _route(self, scope: Scope, text: bytes, send: Send) -> None:
        found = PATH.fullmatch(scope["path"])
        name, what = (found["name"], found["what"]) if found else (None, None)
        act = {
            ("GET", False, None): self._list,
            ("GET", True, None): self._show,
            ("DELETE", True, None): self._forget,
            ("POST", True, "online"): self._online,
            ("POST", True, "canary"): self._canary,
            ("POST", True, "drain"): self._drain,
            ("POST", True, "wake"): self._wake,
        }.get((scope["method"], name is not None, what))
        if not found:
            await answer_json(send, 404, {"detail": "There is no such endpoint."})
        elif not act:
            await answer_json(send, 405, {"detail": "This endpoint has another method."})
        elif what != "online" and name is not None and name not in self._book.servers:
            detail = f"No flow server named {name} was ever online here."
            await answer_json(send, 404, {"detail": detail})
        else:
            await act(name or "", _read(text), send)

    async def _list(self, _: str, __: Any, send: Send) -> None:
        await answer_json(send, 200, {"flow_servers": await self.describe_all()})

    async def _show(self, name: str, _: Any, send: Send) -> None:
        await answer_json(send, 200, await self.describe(self._book.servers[name]))

    async def _online(self, name: str, document: Any, send: Send) -> None:
        online = read_online(document)
        record = await self._book.come_online(name, online)
        print(f"roost: flow server {name} is online (Prefect {record.prefect})", flush=True)
        canary = online.version not in record.canaries
        await answer_json(send, 200, {"canary": canary, "prefect": installed()})

    async def _canary(self, name: str, document: Any, send: Send) -> None:
        version = document.get("version") if isinstance(document, dict) else None
        if not isinstance(version, str):
            raise BadOnlineError("version must be a text")
        self._book.put(self._book.servers[name].ran_canary(version))
        await self._book.save(name)
        await answer_json(send, 200, {})

    async def _drain(self, name: str, document: Any, send: Send) -> None:
        draining = document.get("draining") if isinstance(document, dict) else None
        if not isinstance(draining, bool):
            raise BadOnlineError("draining must be true or false")
        record = await self._book.drain(name, draining=draining)
        await answer_json(send, 200, await self.describe(record))

    async def _wake(self, name: str, _: Any, send: Send) -> None:
        self._waker.wake(self._book.servers[name], at_once=True)
        await answer_json(send, 202, {})

    async def _forget(self, name: str, _: Any, send: Send) -> None:
        await self._book.forget(name)
        await self._due_times.try_leave()
        await answer(send, 204)

    async def describe_all(self) -> list[dict[str, Any]]:
        """Return all records, by name."""
        return [
            await self.describe(self._book.servers[name]) for name in sorted(self._book.servers)
        ]

    async def describe(self, record: FlowServer) -> dict[str, Any]:
        """Return a record as its endpoint answers it, with what waits for it now."""
        now = self._book.now()
        time = datetime.fromtimestamp(now, UTC)
        gave_up = bool(record.gave_up_at) or self._waker.gave_up(record.name)
        first = await first_due(record, time, gave_up=gave_up)
        overdue = await waiting_runs(record.served, before=time)
        everybody = (each.deployments for each in self._book.servers.values())
        former = set(record.former).difference(*everybody)
        untaken = await explain_untaken(record.served, record.untaken, time, former)
        names = await deployment_names({*record.deployments, *names_of(untaken)})
        return {
            **{key: getattr(record, key) for key in ("name", "address", "boot", "version")},
            "prefect": record.prefect,
            "missed": record.missed.value,
            "online_at": record.online_at,
            "seen_at": _time(self._book.seen_at(record.name)),
            "polled_at": _time(record.polled or None),
            "draining": record.is_draining(now),
            "deployments": [
                {"id": each, "name": names[each].name, "flow": names[each].flow}
                for each in record.deployments
                if each in names
            ],
            "pools": list(record.pools),
            "running": sorted(await active_runs(record.runs.keys())),
            "due": first.at.astimezone(UTC).isoformat() if first else None,
            "overdue": sum(run.run not in record.untaken for run in overdue),
            "gave_up": gave_up,
            "untaken": [
                {
                    "run": each.run,
                    "due": each.at.astimezone(UTC).isoformat(),
                    "deployment": f"{named.flow}/{named.name}" if named else "",
                    "why": each.why,
                }
                for each in untaken
                for named in [names.get(each.deployment or "")]
            ],
            "wake_error": self._waker.error(record.name) or record.gave_up_why,
        }

    async def report(self) -> dict[str, Any]:
        """Return what `/roost/report` says of flow servers, and of the next due time."""
        await self._book.load()
        due = await self._due_times.next_due()
        return {
            "flow_servers": await self.describe_all(),
            "next_due": due.document() if due else None,
        }


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _time(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None
