"""Drop root: a volume on Fly belongs to root, so the server starts as root and hands it over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from roost_machine.image_user import become, image_user
from roost_server.settings import home_folder


def drop_privileges(environ: Mapping[str, str]) -> dict[str, str]:
    """Hand the home folder over, open the machine's API socket, and become the image's user."""
    user = image_user()
    if user is None:
        return {}
    hand_over(home_folder(environ), user.pw_uid, user.pw_gid)
    return become(user, environ)


def hand_over(folder: Path, uid: int, gid: int) -> None:
    """Change the owner of a folder and its contents, unless the folder already has that owner."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == uid:
        return
    for found in folder.rglob("*"):
        os.chown(found, uid, gid, follow_symlinks=False)
    # Last, so that the next start repeats a hand-over that was interrupted.
    os.chown(folder, uid, gid)
