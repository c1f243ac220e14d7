"""The files of `examples/` that no test runs: what other programs read of them."""

from __future__ import annotations

import configparser
import plistlib
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_files_for_supervisors_start_the_example_again_whenever_it_ends():
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(EXAMPLES / "prefect-flows.service")
    agent = plistlib.loads((EXAMPLES / "com.example.prefect-flows.plist").read_bytes())

    assert unit["Service"]["Restart"] == "always"
    assert agent["KeepAlive"] is True
    assert unit["Service"]["ExecStart"].endswith("serve_flows.py")
    assert agent["ProgramArguments"][-1] == "serve_flows.py"
