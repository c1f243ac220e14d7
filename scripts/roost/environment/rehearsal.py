"""An environment as the local Fly runs it: it must do nothing in the world."""

from __future__ import annotations

import re
from dataclasses import replace

from roost.environment.load import EnvironmentFile
from roost.environment.rules import replica_of

_THIS_COMPUTER = re.compile(r"http://(127\.0\.0\.1|localhost)(:[0-9]+)?", re.ASCII)


def rehearsed(file: EnvironmentFile) -> EnvironmentFile:
    """Give a file without its copy to a bucket, unless the bucket is on this computer.

    The real server writes there: a second writer would spoil the copy, and an empty volume here
    would fetch the data of the real one.
    """
    replica = replica_of(file.environment)
    if replica is None or _THIS_COMPUTER.fullmatch(replica.endpoint or ""):
        return file
    database = file.environment.database.model_copy(update={"replicate": None})
    return replace(file, environment=file.environment.model_copy(update={"database": database}))
