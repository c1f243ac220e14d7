"""Planted values go to the machine's process and to the local Fly's own store, and nowhere else.

They are looked for, in every spelling that a log or a document might give them, in what each command
prints, in every file that came to be, and in the arguments of every process of this machine meanwhile.
"""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import secrets
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.api_door import Answer, counting
from helpers.roost_command import finish
from helpers.small_server import ILL, NAME, SMALL, TROUBLE
from helpers.sops_files import age_key, encrypt
from roost.environment.model import AUTH_SECRET

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("canary")]

HOOK, TOKEN = "HOOK_URL", "API_TOKEN"  # from the process environment, and from a SOPS file
LOOK_EVERY_S = 0.01
# Not the word alone: pytest tells every process the name of this file.
PLANTED = re.compile(rb"canary[0-9a-f]{32}")
# Fly keeps values, and so does who stands in for it; they are its own files.
KEPT_BY_FLY = {"state.db", "state.db-wal", "state.db-shm"}
LOOKS = ("plan", "secrets", "status", "releases", "apply")


class Canary:
    """A value, and all the ways in which it could stand somewhere."""

    def __init__(self) -> None:
        self.core = f"canary{secrets.token_hex(16)}"
        # What quoting, escaping and encoding would each respell around the core.
        self.value = f"https://bird:{self.core}@x.example/?a=\"%20'\\\n\u00e9"
        plain = self.core.encode()
        self.spellings = {plain, plain[::-1], plain.hex().encode()}
        for shift in range(3):  # base64 of whatever it stands in the middle of
            whole = base64.b64encode(b"\0" * shift + plain)
            self.spellings.add(whole[4:-4])

    def found_in(self, content: bytes) -> bool:
        """Return whether it stands there in any spelling."""
        return any(spelling in content for spelling in self.spellings)


class Process:
    """What was seen of the processes of this machine while the commands ran."""

    def __init__(self) -> None:
        self.arguments: set[bytes] = set()
        self.holders: dict[bytes, set[bytes]] = {}
        """Environments by the arguments of the process that has them."""
        self._known: set[tuple[str, bytes]] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    self._look_at(entry)

    def _look_at(self, process: Path) -> None:
        try:
            arguments = (process / "cmdline").read_bytes()
            if not arguments or (process.name, arguments) in self._known:  # none yet, or known
                return
            self._known.add((process.name, arguments))
            environ = (process / "environ").read_bytes()
        except OSError:  # it ended meanwhile
            return
        self.arguments.add(arguments)
        if PLANTED.search(environ):
            self.holders.setdefault(arguments, set()).add(environ)

    @contextmanager
    def watched(self):
        """Watch for as long as the body runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._end.set()
            self._thread.join()


class Aviary:
    """An environment with canaries in it, and everything that its commands have said."""

    def __init__(self, site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.key = age_key()
        self.said: list[tuple[tuple[str, ...], str]] = []
        self.canaries: list[Canary] = []
        self.tokens: list[Canary] = []
        self.environ: dict[str, str] = {}
        for name in ("home", "tmp"):
            (folder / "user" / name).mkdir(parents=True)
        self.plant()
        self.write()

    def plant(self) -> None:
        """Have other values from now on, in every source."""
        hook, token, login = Canary(), Canary(), Canary()
        self.canaries += [hook, token, login]
        self.tokens.append(token)
        file = self.site.roost.environments.parent / "demo.sops.json"
        encrypt(file, json.dumps({TOKEN: token.value}), self.key)
        self.environ = {
            HOOK: hook.value,
            AUTH_SECRET: f"admin:{login.core}",  # the gate logs in with it
            "SOPS_AGE_KEY": self.key.private,
            "HOME": str(self.folder / "user" / "home"),
            "TMPDIR": str(self.folder / "user" / "tmp"),
            "PYTHONFAULTHANDLER": "1",
        }

    def write(self, **settings: str) -> None:
        """Write the environment file."""
        self.site.roost.write(
            NAME,
            app=self.site.name,
            prefect={"version": "3.8.8", "image": SMALL, "settings": settings},
            secrets=[AUTH_SECRET, HOOK, {"name": TOKEN, "from": {"sops": "demo.sops.json"}}],
        )

    def run(self, *argv: str, expect: int = 0) -> str:
        """Run a verb on the environment, as text and as JSON where it has that."""
        done = self.site.roost.run(*argv, expect=expect, **self.environ)
        said: str = done.stderr
        self.said.append((argv, done.stdout + said))
        return said

    def look(self) -> None:
        """Run every verb that looks, in both forms."""
        self.run("validate")
        self.run("validate", "--json")
        self.run("show", NAME)
        self.look_with(*LOOKS)

    def look_with(self, *verbs: str) -> None:
        """Run some of them, in both forms."""
        for verb in verbs:
            self.run(verb, NAME, "--local")
            self.run(verb, NAME, "--local", "--json")

    def act(self, what: str, state: str) -> None:
        """Have the machine do something by itself."""
        [machine] = self.site.list("machines")
        self.site.daemon.call("POST", f"{self.site.app}/machines/{machine['id']}/{what}")
        self.site.daemon.wait(self.site.app, machine["id"], state)

    def leaks(self, seen: Process) -> list[str]:
        """Say everywhere that a canary was found and had no business."""
        found = []
        for canary in self.canaries:
            found += [
                f"said by {argv}" for argv, text in self.said if canary.found_in(text.encode())
            ]
            found += [f"file {path}" for path in self.files() if canary.found_in(path.read_bytes())]
            found += [f"arguments {a!r}" for a in seen.arguments if canary.found_in(a)]
        return found

    def files(self):
        """Return every file that is not the stand-in's own store."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name not in KEPT_BY_FLY:
                yield path


@pytest.fixture
def core_files_allowed():
    """As on a computer where somebody looks for crashes."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture
def aviary(own_site, tmp_path, core_files_allowed):  # noqa: ARG001 - the daemon runs with it or not
    return Aviary(own_site, tmp_path)


def refuse_secrets(aviary):
    """Have Fly refuse a value and repeat it, as a careless answer may."""
    echo = json.dumps({"error": f"unexpected {aviary.environ[HOOK]}"}).encode()

    def answer(call):
        return Answer(422, echo) if call.endswith("/secrets") and call.startswith("POST") else None

    return answer


def crash(aviary):
    """Let an apply crash while it holds every value."""
    with counting(str(aviary.site.daemon.client.base_url)) as door:
        aviary.site.lead_to(door.url)
        door.asked = refuse_secrets(aviary)
        said = aviary.run("apply", NAME, "--local", expect=1)
        assert "[hidden]" in said, "Fly's answer is told, without the value"
        door.asked = lambda _: None
        started = []

        def abort(call):
            if call.startswith("POST") and call.endswith("/secrets"):
                started[0].send_signal(signal.SIGABRT)
                started[0].wait()

        door.answered = abort
        started.append(aviary.site.roost.begin("apply", NAME, "--local", **aviary.environ))
        done = finish(started[0])
    aviary.site.lead_to(str(aviary.site.daemon.client.base_url))
    aviary.said.append((("apply", "aborted"), done.stdout + done.stderr))
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in done.stderr


@pytest.mark.timeout(600)  # some forty commands, one after the other
def test_planted_values_are_found_nowhere_but_where_they_belong(aviary, monkeypatch):
    # A core would be written where the command runs.
    monkeypatch.chdir(aviary.folder)
    with Process().watched() as seen:
        aviary.run("plan", NAME, "--local")
        crash(aviary)
        aviary.run("apply", NAME, "--local")
        aviary.look()

        aviary.plant()  # rotate
        aviary.look_with("plan", "secrets", "apply")

        aviary.act("suspend", "suspended")
        aviary.plant()  # rotate in sleep
        aviary.look_with("apply")
        aviary.act("start", "started")

        aviary.plant()  # and with a gate that fails
        aviary.write(**{TROUBLE: ILL})
        aviary.run("apply", NAME, "--local", "--json", expect=4)
        aviary.write()
        aviary.look_with("status", "secrets", "releases")

    assert aviary.leaks(seen) == []
    machine, source = ["program.py"], ["roost", "localfly"]
    holders = {arguments.decode() for arguments in seen.holders}
    assert any("program.py" in arguments for arguments in holders), "the machine is to have them"
    # Those that came by the environment are there wherever a command was started from it.
    assert {a for a in holders if not any(n in a for n in machine + source)} == set()
    from_sops = {canary.core.encode() for canary in aviary.tokens}
    with_it = {a for a, e in seen.holders.items() if any(c in x for x in e for c in from_sops)}
    assert {a for a in with_it if b"program.py" not in a} == set()
    assert not list(aviary.folder.rglob("core*"))


def test_the_search_finds_a_canary_in_each_spelling():
    canary = Canary()
    for text in (
        canary.value,
        json.dumps(canary.value),
        repr(canary.value),
        base64.b64encode(canary.value.encode()).decode(),
        base64.b64encode(b"user:" + canary.value.encode()).decode(),
        canary.value.encode().hex(),
    ):
        assert canary.found_in(f"... {text} ...".encode())
    assert not canary.found_in(Canary().value.encode())


def test_the_search_sees_what_a_process_is_called_with():
    with Process().watched() as seen:
        os.spawnlp(os.P_WAIT, "sleep", "canary-of-this-test", "0.3")

    assert any(b"canary-of-this-test" in arguments for arguments in seen.arguments)
