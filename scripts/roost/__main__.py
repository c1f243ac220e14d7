"""`python -m roost`."""

from __future__ import annotations

import gc
import signal
import sys

# What a command imports and reads it needs to its end: looking for garbage in it took 7 % of a start.
gc.set_threshold(50_000)
# Until the command line has its own answer, Ctrl-C ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from roost.cli.process import main  # noqa: E402 - only now

sys.exit(main(sys.argv[1:]))
