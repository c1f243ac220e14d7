"""`python -m roost`."""

from __future__ import annotations

import sys

from roost.cli import main

sys.exit(main(sys.argv[1:]))
