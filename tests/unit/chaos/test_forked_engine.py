"""To its parent and the kernel, a forked process of a run is as one that was started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.forked_engine import ROOM

CHAOS = Path(__file__).parents[2] / "chaos"
PREFECT = {
    "__init__.py": "",
    "flow_engine.py": "",
    "context.py": "def refresh_global_settings_context(): pass",
    "_internal/__init__.py": "",
    "_internal/metrics.py": "",
    "engine.py": """
import json, os, sys
from pathlib import Path
if __name__ == "__main__":
    shown = Path("/proc/self/environ").read_bytes().split(b"\\0")
    print(json.dumps({
        "pid": os.getpid(),
        "parent": os.getppid(),
        "folder": os.getcwd(),
        "variable": os.environ["PREFECT__FLOW_RUN_ID"],
        "shown": [each.decode() for each in shown if each.startswith(b"PREFECT__")],
        "inherited": sorted(set(os.environ) & {"ONLY_OF_THE_RUNNER"}),
        "input": sys.stdin.read(),
    }), flush=True)
    print("to the other one", file=sys.stderr)
    if "EXIT" in os.environ:
        sys.exit(int(os.environ["EXIT"]))
    os.kill(os.getpid(), 9)
""",
}
PROGRAM = """
import itertools, json, os, subprocess, sys
from chaos.forked_engine import RunProcess, fork_engines

fork_engines()
RunProcess._numbers = itertools.count(int(sys.argv[1]))
argv = [sys.executable, "-m", "prefect.engine"]
pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
found = []
for number, ending in enumerate(({"EXIT": "0"}, {"EXIT": "7"}, {})):
    environ = {"PREFECT__FLOW_RUN_ID": f"run {number}", "PYTHONPATH": os.environ["PYTHONPATH"]}
    with subprocess.Popen(argv, env=environ | ending, cwd=sys.argv[2], **pipes) as run:
        out, err = run.communicate(b"word")
    told = json.loads(out)
    is_its = told.pop("pid") == run.pid and told.pop("parent") == os.getpid()
    found.append({**told, "is its": is_its, "code": run.returncode, "error": err.decode()})
other = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True)
print(json.dumps([found, other.stdout.decode()]))
"""


@pytest.mark.parametrize("first", [pytest.param(1, id="forked"), pytest.param(0, id="ordinary")])
def test_a_forked_process_is_as_an_ordinary_one(tmp_path, first):
    for name, text in PREFECT.items():
        path = tmp_path / "prefect" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(CHAOS.parent)]),
        "ONLY_OF_THE_RUNNER": "yes",
        ROOM: "." * 1000,
    }

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(first), str(tmp_path)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found, other = json.loads(done.stdout)
    assert found == [
        {
            "folder": str(tmp_path),
            "variable": f"run {number}",
            "shown": [f"PREFECT__FLOW_RUN_ID=run {number}"],
            "inherited": [],
            "input": "word",
            "is its": True,
            "code": code,
            "error": "to the other one\n",
        }
        for number, code in enumerate((0, 7, -9))
    ]
    assert other == "1\n"
