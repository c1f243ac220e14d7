"""The program of a Redis's machine: `python managed_redis.py` runs Redis until the machine stops.

`python managed_redis.py bake` checks the image at build time.
"""

from __future__ import annotations

import os
import sys


def main(argv: list[str]) -> int:
    """Run one of the two commands and return the exit code."""
    from roost_redis.launcher import bake, launch

    return bake(os.environ) if argv == ["bake"] else launch(os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
