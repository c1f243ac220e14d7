"""Ask Redis how it is, over its own protocol, and judge the answer."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from roost_redis.errors import NoAnswerError

LIMIT_S = 3.0
FULL = 0.95
"""From this share of its memory on, Redis counts as full: it refuses writes soon."""
_MB = 1024 * 1024


@dataclass(frozen=True)
class Health:
    """What Redis said of itself.

    Attributes:
        text: one line without secrets.
        good: whether it takes writes and keeps them.
    """

    text: str
    good: bool


def ask(address: tuple[str, int], password: str, *command: str) -> str:
    """Log in and return the answer to a command.

    Raises:
        NoAnswerError: Redis does not answer, or refuses.
    """
    try:
        with (
            socket.create_connection(address, LIMIT_S) as connection,
            connection.makefile("rb") as replies,
        ):
            connection.sendall(_encoded("AUTH", password) + _encoded(*command))
            _read(replies)
            return _read(replies)
    except (OSError, ValueError) as error:
        raise NoAnswerError(f"it does not answer ({type(error).__name__})") from None


def ask_info(address: tuple[str, int], password: str) -> dict[str, str]:
    """Return the answer to INFO; see `ask`."""
    text = ask(address, password, "INFO")
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs if name}


def judge(info: Mapping[str, str]) -> Health:
    """Return the health of a Redis by its answer to INFO."""
    used, most = _number(info, "used_memory"), _number(info, "maxmemory")
    memory = f"{used / _MB:.0f} of {most / _MB:.0f} MB"
    what = (
        f"Redis {info.get('redis_version', '')}: {memory}, {info.get('connected_clients')} clients"
    )
    fault = _fault(info, used, most)
    return Health(f"{what}; {fault}" if fault else what, good=not fault)


def _fault(info: Mapping[str, str], used: int, most: int) -> str:
    if info.get("loading") == "1":
        return "it still reads its file"
    if info.get("aof_last_write_status") != "ok":
        return (
            "it cannot write its file, as the volume is full or broken, and refuses writes; "
            "raise redis.volume_gb"
        )
    if most and used >= FULL * most:
        return "its memory is nearly full, and a full one refuses writes; raise redis.machine.memory_mb"
    return ""


def _number(info: Mapping[str, str], name: str) -> int:
    value = info.get(name, "")
    return int(value) if value.isdecimal() else 0


def _encoded(*parts: str) -> bytes:
    """Return a command in Redis's protocol, in which any text is safe."""
    encoded = [part.encode() for part in parts]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in encoded)
    return b"*%d\r\n%s" % (len(parts), body)


def _read(replies: BinaryIO) -> str:
    """Return the text of one reply.

    Raises:
        NoAnswerError: it is an error; only its first word is told.
    """
    line = replies.readline()
    if line.startswith(b"-"):
        word = line[1:].split(b" ")[0].decode("ascii", "replace").strip()
        raise NoAnswerError(f"it refuses ({word})")
    if line.startswith(b"$"):
        return replies.read(int(line[1:]) + 2).decode("utf-8", "replace")
    if not line:
        raise NoAnswerError("it closed the connection")
    return line[1:].decode("utf-8", "replace").strip()
