"""Stand-ins for `fly` and `gh` that note how they are called, and a terminal to answer questions on."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

from helpers.waiting import LIMIT_S

FLY_TOKEN = "FlyV1 fm2_lJPECAAAAAAAAmade-just-now"
PROGRAM = """#!{python}
import json, os, pathlib, sys

HERE = pathlib.Path(__file__).parent
NAME = pathlib.Path(sys.argv[0]).name
WORDS = " ".join([NAME, *sys.argv[1:]])
GIVEN = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
with (HERE / "calls").open("a") as calls:
    print(json.dumps({{"words": WORDS, "stdin": GIVEN, "cwd": os.getcwd()}}), file=calls)
FAILS = HERE / "fails"
if FAILS.exists() and any(WORDS.startswith(w) for w in FAILS.read_text().split("\\n")):
    sys.exit("no luck")
if WORDS.startswith("fly tokens create"):
    print("{token}")
if WORDS.startswith("gh api user"):
    print('{{"reviewers": [{{"type": "User", "id": 7}}]}}')
"""


class FakePrograms:
    """Programs with these names, in a folder of their own."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        folder.mkdir()
        for name in names:
            program = folder / name
            program.write_text(PROGRAM.format(python=sys.executable, token=FLY_TOKEN))
            program.chmod(0o755)

    def fail(self, *beginnings: str) -> None:
        """Let commands that begin with these words fail from now on."""
        (self.folder / "fails").write_text("\n".join(beginnings))

    @property
    def calls(self):
        """Return every call: its arguments, its input and its folder."""
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def given(self, beginning: str) -> str:
        """Return the input of the only command that begins with these words."""
        [found] = [call["stdin"] for call in self.calls if call["words"].startswith(beginning)]
        return str(found)


def on_a_terminal(command, environ, answers: str) -> tuple[int, str]:
    """Run a command with a terminal as its input; return its exit code and its output."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command, env=environ, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        os.close(theirs)
        # A terminal holds a few kB: what it shows is read, or writing to it would wait.
        threading.Thread(target=_drain, args=(ours,), daemon=True).start()
        os.write(ours, answers.encode())
        out, _ = process.communicate(timeout=LIMIT_S)
    finally:
        os.close(ours)
    return process.returncode, out.decode()


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        return
