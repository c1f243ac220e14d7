"""What `./run lock --server NAME` does before and after uv resolves: the requirements, and the lock.

The session in `noxfile.py` runs uv between the two, with the options of every lock.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from roost.environment.extras import extras_of
from roost.environment.load import EnvironmentFile, load_alone
from roost.environment.prefect_settings import version_fault
from roost.environment.server_lock import (
    OURS,
    ServerLockError,
    added_pins,
    changed_pins,
    header,
    lock_fault,
    lock_of,
    parse_server_lock,
    proven_pins,
    read_server_lock,
)
from roost.environment.sops_file import leads_out
from roost.errors import Fault, InvalidFilesError, UsageError

REQUIREMENTS, LOCK = "extras.in", "extras.txt"
"""Files in the session's folder: what uv reads, and what it writes."""
_BLOCK = re.compile(r"^([a-z0-9-]+)==.*(?:\n[ \t]+.*)*\n?", re.MULTILINE | re.ASCII)


def begin(name: str, environments: Path, deploy: Path, folder: Path, *, upgrade: bool) -> None:
    """Write what uv is to resolve, and the versions that it is to prefer.

    uv prefers the versions that its output file has. These are the proven ones of the Prefect version,
    and of other packages the ones that the environment has now.

    Args:
        name: the environment.
        environments: the folder of its file.
        deploy: the folder with the proven locks.
        folder: where to write.
        upgrade: whether to take the newest versions of packages that are not in the proven lock.

    Raises:
        UsageError: the environment has no extra packages.
        InvalidFilesError: its file has faults, or there is no lock for its version of Prefect.
        UnknownEnvironmentError: it has no file.
    """
    file = load_alone(name, environments)
    extras, version = extras_of(file.environment), file.environment.prefect.version
    if not extras:
        raise UsageError(
            f"The server has no extra packages: its image has the lock of Prefect {version}.",
            where=str(file.path),
            advice="Name packages in prefect.extras, such as prefect-redis.",
        )
    if wrong := version_fault(version, deploy):
        raise InvalidFilesError((Fault(str(file.path), 1, 1, wrong),))
    # Prefect's version is fixed; that of Litestream stands in the constraints.
    wanted = (f"{OURS[0]}=={version}", *OURS[1:], *(extra.text for extra in extras))
    (folder / REQUIREMENTS).write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
    proven = (deploy / "locks" / f"prefect-{version}.txt").read_text("utf-8")
    present = "" if upgrade else _present_lock(file)
    (folder / LOCK).write_text(preferred(proven, present), encoding="utf-8")


def preferred(proven: str, present: str) -> str:
    """Return a lock with all pins of the proven one, and of the present one those of other packages."""
    known = {block[1] for block in _BLOCK.finditer(proven)}
    others = (block[0] for block in _BLOCK.finditer(present) if block[1] not in known)
    return proven + "".join(others)


def finish(name: str, environments: Path, deploy: Path, folder: Path, out: Console) -> None:
    """Check what uv resolved, write it as the lock of the environment, and print what it adds.

    Raises:
        InvalidFilesError: an extra requires what cannot be in the image, or the lock's place is a link.
    """
    file = load_alone(name, environments)
    extras, version = extras_of(file.environment), file.environment.prefect.version
    body, proven = (folder / LOCK).read_bytes(), proven_pins(deploy, version)
    try:
        lock = replace(parse_server_lock(body), extras=tuple(extra.text for extra in extras))
    except ServerLockError as error:
        raise _refused(file, str(error)) from error
    if wrong := lock_fault(lock, version, extras, proven):
        raise _refused(file, wrong)
    changed = changed_pins(lock.pins, proven)
    path = lock_of(file.path, name)
    if leads_out(path, file.repository):
        raise _refused(file, "would be written outside of the repository, through a link")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header(extras, changed).encode() + body)
    out.print(f"Wrote {file.path.parent.name}/{path.parent.name}/{path.name}.", markup=False)
    out.print(f"Added: {', '.join(added_pins(lock.pins, proven)) or 'nothing'}.", markup=False)
    for change in changed:
        out.print(f"Not the version that Roost is tested with: {change}.", markup=False)


def _refused(file: EnvironmentFile, wrong: str) -> InvalidFilesError:
    message = f"the lock of these extras {wrong}; correct that, and lock it again"
    return InvalidFilesError((Fault(str(file.path), 1, 1, message),))


def _present_lock(file: EnvironmentFile) -> str:
    """Return the environment's present lock; empty where there is none to start from."""
    try:
        content = read_server_lock(lock_of(file.path, file.name), file.repository)
        parse_server_lock(content)
    except ServerLockError:
        return ""
    return content.decode()
