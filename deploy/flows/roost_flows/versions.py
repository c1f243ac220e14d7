"""Compare the image's Prefect client with the server's Prefect."""

from __future__ import annotations

import re
from importlib import metadata

from roost_flows.errors import ImageError, WrongVersionError

PACKAGES = ("prefect", "prefect-client")


def client_version() -> str:
    """Return the version of the installed Prefect client, without an import of Prefect.

    Raises:
        ImageError: the image has none.
    """
    for package in PACKAGES:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    raise ImageError(
        "requirements.txt has neither prefect nor prefect-client. Add it to requirements.in and "
        "lock again: ./run lock --flows NAME"
    )


def check_versions(client: str, server: str) -> None:
    """Check that a client fits a server.

    Prefect documents that clients must not be newer than the server: a newer one sends fields that
    an older server refuses with 422. A newer patch release is let through, as `roost connect` does.

    Raises:
        WrongVersionError: another major version, or a newer minor one.
    """
    ours, theirs = _minor(client), _minor(server)
    if ours is None or theirs is None:
        return
    mend = (
        f'Write "prefect=={server}" into requirements.in and lock again: ./run lock --flows NAME; '
        "or upgrade the server first"
    )
    if ours[0] != theirs[0]:
        raise WrongVersionError(
            f"the flows' Prefect {client} and the server's {server} are of different major "
            f"versions. {mend}"
        )
    if ours > theirs:
        raise WrongVersionError(
            f"the flows' Prefect {client} is newer than the server's {server}, which may refuse "
            f"what it sends. {mend}"
        )


def _minor(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)(?:\.|$)", version)
    return (int(found[1]), int(found[2])) if found else None
