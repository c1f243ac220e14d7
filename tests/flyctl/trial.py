"""Run commands of a real flyctl on a local Fly, and look at what they did there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.local_daemon import LocalDaemon
from localfly.state.client_environment import client_environment

Json = dict[str, Any]
APP = "acme"
ONE, TWO = f"registry.fly.io/{APP}:1", f"registry.fly.io/{APP}:2"
LIMIT_S = 150
"""The longest that a command may take; a blue-green deploy waits for half a minute by itself."""
TOML = f"""app = "{APP}"
primary_region = "iad"
[env]
  ADDRESS = "0.0.0.0"
[http_service]
  internal_port = 8080
  auto_stop_machines = "off"
  auto_start_machines = true
  min_machines_running = 0
  [[http_service.checks]]
    interval = "1s"
    timeout = "2s"
    grace_period = "1s"
    method = "GET"
    path = "/"
"""
_OURS = re.compile(r"[Tt]he local Fly [^\"{}\n]*?(?= \(Request ID|[\"{}\n]|$)")


@dataclass(frozen=True)
class Result:
    """The end of one command."""

    code: int
    output: str

    @property
    def sentence(self) -> str:
        """What the local Fly said, without the query or the request that flyctl repeats."""
        found = _OURS.search(self.output)
        return found[0].strip() if found else ""


@dataclass
class Trial:
    """One local Fly, a folder with a fly.toml, and the program."""

    flyctl: str
    folder: Path
    daemon: LocalDaemon
    app: str = APP
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        url = str(self.daemon.client.base_url)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLY_")},
            **client_environment(url, self.folder, "local"),
            "NO_COLOR": "1",
        }
        self.write()

    def write(self, toml: str = TOML) -> None:
        """Write the fly.toml."""
        (self.folder / "fly.toml").write_text(toml, encoding="utf-8")

    def run(self, words: Sequence[str], stdin: str = "") -> Result:
        """Run a command to its end."""
        done = subprocess.run(
            [self.flyctl, *words],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout)

    # What is there

    def get(self, path: str) -> Any:
        """Return what the API shows below the app, or nothing."""
        answer = self.daemon.client.get(f"/v1/apps/{self.app}{path}")
        return answer.json() if answer.is_success else None

    def machines(self, state: str = "", group: str = "") -> list[Json]:
        """Return the app's machines, of one state or of one process group if it is named."""
        found: list[Json] = self.get("/machines") or []
        return [
            machine
            for machine in found
            if state in ("", machine["state"])
            and group in ("", (machine["config"].get("metadata") or {}).get("fly_process_group"))
        ]

    def volumes(self) -> list[Json]:
        """Return the app's volumes that were not destroyed."""
        found: list[Json] = self.get("/volumes") or []
        return [volume for volume in found if volume["state"] == "created"]

    def secrets(self) -> set[str]:
        """Return the names of the app's secrets."""
        return {secret["name"] for secret in self.get("/secrets")["secrets"]}

    def addresses(self, kind: str = "") -> list[str]:
        """Return the app's IP addresses, of one kind if it is named."""
        found = self.get("/ip_assignments")["ips"]
        return [ip["ip"] for ip in found if kind in ("", ip["type"])]

    def tokens(self) -> list[Json]:
        """Return the app's tokens that were not revoked."""
        query = f'{{ app(name: "{self.app}") {{ limitedAccessTokens {{ nodes {{ id revokedAt }} }} }} }}'
        answer = self.daemon.client.post("/graphql", json={"query": query}).json()
        nodes: list[Json] = answer["data"]["app"]["limitedAccessTokens"]["nodes"]
        return [node for node in nodes if node["revokedAt"] is None]

    def names(self) -> dict[str, str]:
        """Return what stands for the words in braces of a command."""
        running = self.machines("started") or self.machines()
        return {
            "MACHINE": running[0]["id"] if running else "",
            "VOLUME": (self.volumes() or [{"id": ""}])[0]["id"],
            "ADDRESS": (self.addresses("v6") or [""])[-1] if self.get("") else "",
            "TOKEN": (self.tokens() or [{"id": ""}])[0]["id"] if self.get("") else "",
            "ONE": ONE,
            "TWO": TWO,
        }


Proof = Callable[[Trial, Result], bool]
"""Whether a command did what it said."""


def says(*texts: str) -> Proof:
    """Return the proof that a command printed all of some texts."""
    return lambda _, result: all(text in result.output for text in texts)
