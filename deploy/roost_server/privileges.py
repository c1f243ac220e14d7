"""Drop root: a volume on Fly belongs to root, so the server starts as root and hands it over."""

from __future__ import annotations

from collections.abc import Mapping

from roost_machine.image_user import become, hand_over, image_user
from roost_server.settings import home_folder


def drop_privileges(environ: Mapping[str, str]) -> dict[str, str]:
    """Hand the home folder over, open the machine's API socket, and become the image's user."""
    user = image_user()
    if user is None:
        return {}
    hand_over(home_folder(environ), user.pw_uid, user.pw_gid)
    return become(user, environ)
