"""Standard error, held back while somebody else's code may write a secret there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def stderr_held_back(told_elsewhere: type[Exception]) -> Iterator[None]:
    """Hold back what is written, and let it go at the end, unless the body failed so.

    By its number, not by `sys.stderr`: what a logger made meanwhile writes to must stay good.
    """
    sys.stderr.flush()
    real = os.dup(STDERR)
    drop = False
    with os.fdopen(os.memfd_create("stderr"), "w+b") as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        except told_elsewhere:
            drop = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(real, STDERR)
            os.close(real)
            if not drop:
                held.seek(0)
                with os.fdopen(STDERR, "wb", closefd=False) as stderr:
                    shutil.copyfileobj(held, stderr)
