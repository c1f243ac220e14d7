"""The program of the machine: `python server.py` serves, `python server.py bake` prepares the image."""

from __future__ import annotations

import gc
import os
import sys

# Importing Prefect makes a great many objects that all stay: collecting among them is in vain.
gc.disable()

from roost_server.settings import apply_settings  # noqa: E402 - after the collector is off


def main(argv: list[str]) -> int:
    """Serve or bake; settings must be in the environment before Prefect is imported."""
    apply_settings(os.environ)
    if argv == ["bake"]:
        from roost_server.bake import bake

        return bake(os.environ)
    from roost_server.serve import serve

    return serve(os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
