"""Become the image's user, who cannot change the machine."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

# Created by the Dockerfile; a user of that name with another id is not the image's.
USER, UID = "prefect", 10001
SOCKET = "/.fly/api"


def image_user() -> pwd.struct_passwd | None:
    """Return the user that the image created, or None if this process may not become it."""
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return None
    return user if user.pw_uid == UID else None


def become(user: pwd.struct_passwd, environ: Mapping[str, str]) -> dict[str, str]:
    """Open the machine's API socket, become the user, and return the variables to set."""
    socket = Path(environ.get("FLY_API_SOCKET", SOCKET))
    if socket.is_socket():
        socket.chmod(0o666)  # only this machine's own processes can reach it
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    # The user cannot read root's home, where drivers look for certificates.
    return {"HOME": user.pw_dir}


def hand_over(folder: Path, uid: int, gid: int) -> None:
    """Change the owner of a folder and its contents, unless the folder already has that owner."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == uid:
        return
    for found in folder.rglob("*"):
        os.chown(found, uid, gid, follow_symlinks=False)
    # Last, so that the next start repeats a hand-over that was interrupted.
    os.chown(folder, uid, gid)
