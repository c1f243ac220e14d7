"""`python -m roost`."""

from __future__ import annotations

import signal
import sys

# Until the command line has its own answer, Ctrl-C ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from roost.cli.process import main  # noqa: E402 - only now

sys.exit(main(sys.argv[1:]))
