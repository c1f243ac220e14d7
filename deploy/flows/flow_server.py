"""The program of a flow server's machine: `python flow_server.py` runs the user's flows.

`python flow_server.py bake` checks the image at build time.
"""

from __future__ import annotations

import os
import sys


def main(argv: list[str]) -> int:
    """Run one of the two commands and return the exit code."""
    if argv == ["bake"]:
        from roost_flows.bake import bake

        return bake(os.environ)
    from roost_flows.launcher import launch

    return launch(os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
