"""A checkout with little more than `run`, with or without stand-ins for Python and uv on its PATH."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[2] / "run"
# What any Unix has; a PATH of these alone has neither Python nor uv.
TOOLS = (
    *(
        "cat",
        "chmod",
        "cksum",
        "cmp",
        "cp",
        "dirname",
        "env",
        "git",
        "mkdir",
        "mv",
        "rm",
        "sed",
        "sh",
    ),
    "tr",
)
NAMES = ("uv", "roost", "nox")

# Notes how it was called; `uv venv FOLDER` leaves tools in FOLDER that tell how they are called.
UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
if [ -n "${UV_FAILS:-}" ]; then echo "uv: no route to the index" >&2; exit 2; fi
if [ "$1" = venv ]; then
    for folder; do :; done
    mkdir -p "$folder/bin"
    cp "$STUFF/tool" "$folder/bin/python"
    cp "$STUFF/tool" "$folder/bin/nox"
fi
"""
TOOL = """#!/bin/sh
env >"$SEEN"
printf '%s\\n' "$@"
exit "${TOOL_EXIT:-0}"
"""
PYTHON = f"""#!/bin/sh
echo "python $*" >>"$CALLS"
case "$*" in
*ensurepip*) exit "${{NO_VENV:-0}}" ;;
"-I -m venv "*) mkdir -p "$4/bin" && cp "$STUFF/new-python" "$4/bin/python" ;;
*) exec {sys.executable} "$@" ;;
esac
"""
# The Python of a new environment, whose pip installs uv beside it.
NEW_PYTHON = """#!/bin/sh
echo "pip $*" >>"$CALLS"
if [ -n "${PIP_FAILS:-}" ]; then echo "pip: no route to the index" >&2; exit 2; fi
cp "$STUFF/uv" "$(dirname "$0")/uv"
"""
OLD_PYTHON = """#!/bin/sh
if [ "$1" = --version ]; then echo "Python 3.8.10"; else exit 1; fi
"""


class Checkout:
    """A folder with little more than `run`, and a PATH with only the programs that a test adds."""

    def __init__(self, folder: Path) -> None:
        self.cwd = Path("/")
        self.root = folder / "a checkout"
        self.bin = folder / "bin"
        self.stuff = folder / "stuff"
        for made in (self.root / "requirements", self.bin, self.stuff, folder / "home"):
            made.mkdir(parents=True)
        shutil.copy(RUN, self.root / "run")
        for name in NAMES:
            self.lock(name, "one")
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or name)
        self.git("init", "-q")
        self.git("add", "--all")
        for name, text in (("uv", UV), ("tool", TOOL), ("new-python", NEW_PYTHON)):
            write_program(self.stuff / name, text)
        self.env = {
            "PATH": str(self.bin),
            "HOME": str(folder / "home"),
            "STUFF": str(self.stuff),
            "CALLS": str(self.stuff / "calls"),
            "SEEN": str(self.stuff / "seen"),
        }

    def git(self, *arguments: str) -> None:
        """Run git on it."""
        subprocess.run(["git", "-C", self.root, *arguments], check=True, capture_output=True)

    def commit(self, path: str, text: str = "#!/bin/sh\necho theirs\n") -> Path:
        """Commit a program, as a pull request would, also where git ignores it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_program(file, text)
        self.git("add", "--force", path)
        return file

    def lock(self, name: str, text: str) -> None:
        """Write a file of locked requirements."""
        (self.root / "requirements" / f"{name}.txt").write_text(text)

    def put(self, name: str, text: str) -> None:
        """Add a program to the PATH."""
        write_program(self.bin / name, text)

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Call `run`, from another folder than its own."""
        (self.stuff / "calls").write_text("")
        return subprocess.run(
            [self.root / "run", *arguments],
            cwd=self.cwd,
            env={**self.env, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """The calls of uv, pip and Python in the last run, one line each."""
        return (self.stuff / "calls").read_text().splitlines()

    @property
    def seen(self) -> dict[str, str]:
        """The environment variables of the last tool that was called."""
        lines = (self.stuff / "seen").read_text().splitlines()
        return dict(line.partition("=")[::2] for line in lines)


def write_program(path: Path, text: str) -> Path:
    """Write a program that can be run."""
    path.write_text(text)
    path.chmod(0o755)
    return path
