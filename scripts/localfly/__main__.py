"""`python -m localfly`."""

from __future__ import annotations

import sys

from localfly.cli import main

sys.exit(main(sys.argv[1:]))
