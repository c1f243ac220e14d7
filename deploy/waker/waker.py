"""The program of the waker's machine: `python waker.py` wakes sleeping servers at their time.

`python waker.py bake` checks the image at build time.
"""

from __future__ import annotations

import os
import sys


def main(argv: list[str]) -> int:
    """Run one of the two commands and return the exit code."""
    from roost_waker.launcher import launch

    if argv == ["bake"]:
        print("roost: the waker's modules can be imported", flush=True)
        return 0
    return launch(os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
