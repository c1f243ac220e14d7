"""`roost doctor ENV` in tests with faults that are made real: what it finds, and its diff as a person applies it."""

from __future__ import annotations

import subprocess
from typing import Any


def wrong(site: Any, name: str, *options: str) -> list[dict[str, Any]]:
    """Return what doctor finds wrong on a local Fly; it ends with 2 if there is anything."""
    asked = ("doctor", name, "--local", *options)
    found = site.roost.json(*asked, expect=2)["checks"]
    return [check for check in found if check["state"] == "wrong"]


def take(site: Any, check: dict[str, Any]) -> None:
    """Apply the diff of a finding."""
    done = subprocess.run(
        ["patch", "-p1"],
        cwd=site.roost.environments.parent,
        input=f"{check['change']}\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (check, done.stdout)
