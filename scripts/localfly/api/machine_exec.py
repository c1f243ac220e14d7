"""Endpoint that runs a command in a machine."""

from __future__ import annotations

import shlex
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import ApiState, answer, machine_of, read_json, refuse_unknown, require
from localfly.api_errors import ApiError

Json = dict[str, Any]
DEFAULT_S = 60
MOST_S = 600


async def exec_command(api: ApiState, request: Request) -> Response:
    """POST …/exec: run a command to its end, and return its output."""
    machine, body = machine_of(api, request), await read_json(request)
    refuse_unknown(body, "cmd", "command", "container", "machine", "stdin", "timeout")
    require(body, cmd=str, command=list, container=str, machine=bool, stdin=str, timeout=int)
    if body.get("container"):
        raise ApiError(501, "the local Fly has no containers; see its README")
    timeout = body.get("timeout") or DEFAULT_S
    if not 1 <= timeout <= MOST_S:
        raise ApiError(400, f"invalid_argument: timeout must be from 1 to {MOST_S} seconds")
    done = await api.machines.processes.run_command(
        machine, _argv(body), stdin=body.get("stdin") or "", timeout_s=timeout
    )
    return answer(
        {
            "exit_code": done.exit_code,
            "exit_signal": done.exit_signal,
            "stdout": done.stdout,
            "stderr": done.stderr,
        }
    )


def _argv(body: Json) -> list[str]:
    """Return the command; `cmd` is one line in the form of a shell's words.

    Raises:
        ApiError: 400.
    """
    words = body.get("command") or []
    if not words:
        try:
            words = shlex.split(body.get("cmd") or "")
        except ValueError as error:
            raise ApiError(400, f"invalid_argument: cmd: {error}") from None
    if not words or not all(isinstance(word, str) for word in words):
        raise ApiError(400, "invalid_argument: command must be a list of strings")
    return list(words)
