"""The commands of flyctl that are tried, in the order in which each finds what it needs."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from flyctl.trial import TOML, Proof, Result, Trial, says

NO_DNS = "--dns-checks=false"
RELEASE = TOML.replace(
    "[env]", "[deploy]\n  release_command = \"python -c 'print(40 + 2)'\"\n[env]", 1
)


@dataclass(frozen=True)
class Case:
    """One command: it works, as its proof says, or it is refused in these words."""

    words: str
    """The command; MACHINE, VOLUME, ADDRESS, TOKEN, ONE and TWO stand for what is there."""
    proof: Proof
    refused: bool = False
    stdin: str = ""
    toml: str = TOML

    def argv(self, trial: Trial) -> list[str]:
        """Return the words with what is there."""
        names = trial.names()
        pattern = re.compile(rf"\b(?:{'|'.join(names)})\b")
        return [
            pattern.sub(lambda m: names[m[0]], word)
            for word in shlex.split(self.words, comments=True)
        ]


def works(words: str, proof: Proof, **more: str) -> Case:
    """Return a command that does on the local Fly what it does on Fly."""
    return Case(words, proof, stdin=more.get("stdin", ""), toml=more.get("toml", TOML))


def refused(words: str, sentence: str, toml: str = TOML) -> Case:
    """Return a command that ends with an error in these words."""
    return Case(words, lambda _, result: sentence in result.sentence, refused=True, toml=toml)


def _count(number: int, state: str = "") -> Proof:
    return lambda trial, _: len(trial.machines(state)) == number


def _memory(megabytes: int) -> Proof:
    def proof(trial: Trial, _: Result) -> bool:
        found = trial.machines(group="app")
        return {machine["config"]["guest"]["memory_mb"] for machine in found} == {megabytes}

    return proof


def _runs(image: str) -> Proof:
    def proof(trial: Trial, _: Result) -> bool:
        # Some commands name the digest, too.
        named = {m["config"]["image"].partition("@")[0] for m in trial.machines(group="app")}
        return {name.rpartition("/")[2] for name in named} == {image}

    return proof


def _secrets(*names: str) -> Proof:
    return lambda trial, _: trial.secrets() == set(names)


def _certificates(*names: str) -> Proof:
    def proof(trial: Trial, _: Result) -> bool:
        found = trial.get("/certificates")["certificates"]
        return [c["hostname"] for c in found] == list(names)

    return proof


def _applied(trial: Trial, result: Result) -> bool:
    """Whether the release command ran on a machine that is gone, before the deploy."""
    return "completed successfully" in result.output and _runs("acme:1")(trial, result)


BASICS = (
    works("version", says("flyctl v")),
    works("auth whoami", says("local@localfly")),
    works("orgs list", says("personal")),
    works("platform regions", says("Tokyo")),
    works("platform vm-sizes", says("shared-cpu-1x")),
    works("apps create acme -o personal", lambda trial, _: trial.get("") is not None),
    works("apps list", says("acme", "personal")),
)
DEPLOYS = (
    works(f"deploy --image ONE {NO_DNS} --ha=false", _runs("acme:1")),
    works(f"deploy --image TWO {NO_DNS}", _runs("acme:2")),
    works(f"deploy --image ONE {NO_DNS} --strategy immediate", _runs("acme:1")),
    works(f"deploy --image TWO {NO_DNS} --strategy canary", _runs("acme:2")),
    works(f"deploy --image ONE {NO_DNS} # release_command", _applied, toml=RELEASE),
    works(f"deploy --image TWO {NO_DNS} --strategy bluegreen", _runs("acme:2")),
    works("machine stop MACHINE -w 30s", _count(1, "stopped")),
    works(f"deploy --image ONE {NO_DNS} # a stopped machine", _count(1, "stopped")),
    works("machine start MACHINE", _count(1, "started")),
    works("status", says("acme:1", "started")),
    works("releases", says("v7", "complete")),
    works("image show", says("acme")),
    works("checks list", says("servicecheck-00-http-8080")),
    works("regions list", says("iad")),
    works("services list", says("TCP")),
    works("logs --no-tail", says("listening")),
    works("config show", says('"internal_port": 8080')),
    works("config env", says("ADDRESS")),
    works("config save -y", says("Wrote config file")),
    works("config validate", says("Configuration is valid")),
)
MACHINES = (
    works("machine list", says("acme:1")),
    works("machine status MACHINE", says("started")),
    works("machine suspend MACHINE -w 30s", _count(1, "suspended")),
    works("machine start MACHINE", _count(1, "started")),
    works("machine restart MACHINE", _count(1, "started")),
    works("machine exec MACHINE \"python -c 'print(6 * 7)'\"", says("42")),
    works("machine cordon MACHINE", lambda trial, _: trial.machines()[0]["cordoned"]),
    works("machine uncordon MACHINE", lambda trial, _: not trial.machines()[0]["cordoned"]),
    works("machine update MACHINE --vm-memory 512 -y", _memory(512)),
    works("machine update MACHINE --image TWO -y", _runs("acme:2")),
    works("machine wait MACHINE", says('reached state "started"')),
    works("machine clone MACHINE", _count(2, "started")),
    works("machine destroy MACHINE --force", _count(1)),
    works("machine run ONE --detach", _count(2)),
    works("machine leases view MACHINE", says("No leases")),
)
SCALE = (
    works("scale show", says("512 MB")),
    works("scale count 2 -y", says("Created")),
    works("scale count 1 -y", says("Destroyed")),
    works("scale memory 1024", _memory(1024)),
    works("scale vm shared-cpu-2x", _memory(512)),
)
SECRETS = (
    works(f"secrets set A=1 B=2 {NO_DNS}", _secrets("A", "B")),
    works("secrets list", says("A", "Deployed")),
    works(f"secrets unset B {NO_DNS}", _secrets("A")),
    works("secrets import --stage", _secrets("A", "C"), stdin="C=3\n"),
    works(f"secrets deploy {NO_DNS}", _secrets("A", "C")),
)
VOLUMES = (
    works("volumes create data -r iad -s 1 -y", lambda trial, _: len(trial.volumes()) == 1),
    works("volumes list", says("data", "created")),
    works("volumes show VOLUME", says("data")),
    works("volumes extend VOLUME -s 3 -y", lambda t, _: t.volumes()[0]["size_gb"] == 3),
    works("volumes snapshots create VOLUME", says("Scheduled")),
    works("volumes snapshots list VOLUME", says("vs_")),
    works("volumes fork VOLUME", lambda trial, _: len(trial.volumes()) == 2),
    works("volumes destroy VOLUME -y", lambda trial, _: len(trial.volumes()) == 1),
)
NETWORK = (
    works("ips list", says("2001:db8:1::")),
    works("ips allocate-v6", lambda trial, _: len(trial.addresses("v6")) == 2),
    works("ips allocate-v4 -y", lambda trial, _: len(trial.addresses("v4")) == 1),
    works("ips release ADDRESS", lambda trial, _: len(trial.addresses("v6")) == 1),
    works("ips private", says("iad")),
    works("certs add www.example.com", _certificates("www.example.com")),
    works("certs list", says("www.example.com")),
    works("certs show www.example.com", says("_fly-ownership")),
    works("certs check www.example.com", says("_fly-ownership")),
    works("certs remove www.example.com -y", _certificates()),
)
TOKENS = (
    works("tokens create deploy", lambda trial, _: len(trial.tokens()) == 1),
    works("tokens list", says("flyctl deploy token")),
    works("tokens revoke TOKEN", lambda trial, _: trial.tokens() == []),
)
NOT_HERE = (
    refused("ssh console -C true", "has no WireGuard"),
    refused("proxy 18080:8080", "has no WireGuard"),
    refused("wireguard list", "has no WireGuard"),
    refused("image update -y", "has no WireGuard"),
    refused(f"deploy {NO_DNS} # with a Dockerfile", "has no builders"),
    refused(
        f"deploy {NO_DNS} --remote-only --depot=false # with a Dockerfile",
        "has no builders",
    ),
    refused("orgs show personal", "The local Fly does not have it"),
)
END = (works("apps destroy acme -y", lambda trial, _: trial.get("") is None),)
GROUPS = (BASICS, DEPLOYS, MACHINES, SCALE, SECRETS, VOLUMES, NETWORK, TOKENS, NOT_HERE, END)
CASES = tuple(case for group in GROUPS for case in group)
