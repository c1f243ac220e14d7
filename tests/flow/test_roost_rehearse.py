"""A change is tried on a local Fly of its own; whatever becomes of it, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import yaml

from helpers.environments import environment_data
from helpers.local_daemon import LocalDaemon
from helpers.roost_command import RoostCommand, finish, shows_traceback
from helpers.small_server import EXITS, FORGETS, ILL, NAME, SMALL, TROUBLE
from helpers.waiting import until
from roost.environment.model import AUTH_SECRET
from roost.report.rehearsal import read_rehearsal

URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
ELSEWHERE = {
    "database": {"backend": "postgres", "url_secret": URL},
    "secrets": [AUTH_SECRET, URL],
}
DEPLOY = Path(__file__).parents[2] / "deploy"
HOOK = "HOOK_URL"
CANARY = "canary-of-the-environment"
FAILS = "failed: Checks failed: ui: "


class Rehearsing:
    """A head and a base, each with its file, and a folder in which anything left would be seen."""

    def __init__(self, folder: Path, scratch: Path, cache: Path) -> None:
        self.scratch = scratch
        self.base = folder / "base"
        self.results = folder / "results"
        (self.base / "environments").mkdir(parents=True)
        (self.base / "deploy").symlink_to(DEPLOY)
        self.roost = RoostCommand(folder / "head", cache, TMPDIR=str(self.scratch))

    def write(self, *parts, name=NAME, base=False, image=SMALL, **settings):
        """Write a file of the head, or of the base; without an image it is ours."""
        prefect = {"version": "3.8.8", "settings": settings, **({"image": image} if image else {})}
        data = environment_data({"app": f"acme-{name}", "prefect": prefect}, *parts)
        folder = self.base / "environments" if base else self.roost.environments
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))

    def __call__(self, *names, base=True, expect=0, **environ):
        """Rehearse, and return what was said; nothing is left of it."""
        options = ["--base", str(self.base)] if base else []
        done = self.roost.run(
            *("rehearse", *(names or [NAME]), *options, "--results", str(self.results)),
            expect=expect,
            **environ,
        )
        assert self.left() == []
        return done

    def result(self, name=NAME):
        """Return what was found, as its readers have it."""
        return read_rehearsal(self.results / f"{name}.json")

    def processes(self):
        """Find what runs for a rehearsal: whatever has its folder in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                about = " ".join([*process.environ().values(), *process.cmdline()])
                if str(self.scratch) in about and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def left(self):
        """Name the processes and folders that are there."""
        home = self.roost.home
        return [
            *(process.pid for process in self.processes()),
            *self.scratch.iterdir(),
            *([home] if home.exists() else []),
        ]


@pytest.fixture
def rehearsing(tmp_path, image_cache, small_server):  # noqa: ARG001 - the image must be there
    """A base and a head, both with the same good file."""
    # A short path: machines' sockets stand there, and the path of a socket has about 100 characters.
    with tempfile.TemporaryDirectory(prefix="rehearsing-") as scratch:
        found = Rehearsing(tmp_path, Path(scratch), image_cache)
        found.write()
        found.write(base=True)
        yield found


@pytest.mark.slow
def test_a_change_is_applied_to_the_base_and_timed(rehearsing):
    rehearsing.write(PREFECT_LOGGING_LEVEL="DEBUG")

    done = rehearsing()

    found = rehearsing.result()
    assert (found.outcome, found.base, found.word, found.message) == ("passed", "created", "", "")
    assert [step.key for step in found.steps] == ["machine/app-1"]
    assert {"health", "started", "flow run", "scheduler"} <= {check.name for check in found.gate}
    assert all(check.ok for check in found.gate)
    assert 0 < found.silence_seconds <= found.apply_seconds
    assert found.base_seconds > 0
    assert found.wake.suspended_seconds > 0
    assert found.wake.stopped_seconds > 0
    assert 0 < found.memory_mb.idle <= found.memory_mb.peak < found.memory_mb.limit == 512
    assert "passed. The change was applied to the state of the base" in done.stdout
    assert "did not answer for" in done.stdout


@pytest.mark.slow
def test_without_a_base_it_is_a_first_deploy(rehearsing):
    rehearsing(base=False)

    found = rehearsing.result()
    assert (found.outcome, found.base, found.base_seconds) == ("passed", "none", None)
    assert found.silence_seconds is None
    assert "app/acme-demo" in [step.key for step in found.steps]
    assert found.wake.stopped_seconds > 0


@pytest.mark.slow
def test_a_new_environment_is_a_first_deploy(rehearsing):
    (rehearsing.base / "environments" / f"{NAME}.yaml").unlink()

    rehearsing()

    assert rehearsing.result().base == "none"


@pytest.mark.slow
def test_where_nothing_changes_only_the_head_is_put_up(rehearsing):
    done = rehearsing()

    found = rehearsing.result()
    assert (found.outcome, found.base, found.base_seconds) == ("passed", "same", None)
    assert "what is there now" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("base", [{}, {"scaling": {"autostop": "stop"}}], ids=["suspend", "stop"])
def test_it_is_woken_from_each_way_it_may_sleep(rehearsing, base):
    rehearsing.write({"scaling": {"autostop": "stop"}})
    rehearsing.write(base, base=True)

    rehearsing()

    assert rehearsing.result().wake.suspended_seconds is None
    assert rehearsing.result().wake.stopped_seconds > 0


@pytest.mark.slow
def test_one_that_never_sleeps_is_not_put_to_sleep(rehearsing):
    rehearsing.write({"scaling": {"autostop": "off"}})

    rehearsing()

    found = rehearsing.result()
    assert (found.wake.suspended_seconds, found.wake.stopped_seconds) == (None, None)
    assert found.memory_mb.idle > 0


@pytest.mark.slow
def test_a_change_that_fails_its_gate_ends_with_4_and_says_which_check(rehearsing):
    rehearsing.write(**{TROUBLE: ILL})

    done = rehearsing(expect=4)

    found = rehearsing.result()
    assert (found.outcome, found.word) == ("failed", "gate-failed")
    assert FAILS in found.message
    assert "The last healthy release was restored and passed the gate." in found.message
    assert [check.name for check in found.gate if not check.ok] == ["ui"]
    assert 0 < found.silence_seconds <= found.apply_seconds
    assert f"{NAME}: failed: " in done.stdout


@pytest.mark.slow
def test_a_machine_that_dies_is_told_with_its_log(rehearsing):
    rehearsing.write(**{TROUBLE: EXITS})

    done = rehearsing(expect=4)

    assert "exited with code 1 instead of serving" in rehearsing.result().message
    assert "Its log from the change on" in done.stderr


@pytest.mark.slow
def test_a_first_deploy_that_fails_ends_with_5(rehearsing):
    rehearsing.write(**{TROUBLE: ILL})

    rehearsing(base=False, expect=5)

    found = rehearsing.result()
    assert (found.outcome, found.word) == ("failed", "gate-failed-not-rolled-back")
    assert "\n" not in found.message
    assert [check.name for check in found.gate if not check.ok] == ["ui"]


@pytest.mark.slow
def test_a_change_that_loses_data_fails(rehearsing):
    rehearsing.write(**{TROUBLE: FORGETS})

    rehearsing(expect=1)

    found = rehearsing.result()
    assert (found.outcome, found.word) == ("failed", "rehearsal-failed")
    assert found.message.startswith("Of 5 flow runs written before, 0 are there.")
    assert found.gate


@pytest.mark.slow
def test_what_mends_a_broken_base_is_tried_as_a_first_deploy(rehearsing):
    rehearsing.write(base=True, **{TROUBLE: ILL})

    rehearsing()

    found = rehearsing.result()
    assert (found.outcome, found.base) == ("passed", "none")
    assert found.message.startswith("The base could not be deployed (")


@pytest.mark.slow
def test_a_base_whose_file_has_faults_is_none_and_says_so(rehearsing):
    (rehearsing.base / "environments" / f"{NAME}.yaml").write_text("nonsense: true\n")

    rehearsing()

    assert rehearsing.result().base == "none"
    assert rehearsing.result().message.startswith("The base is not valid (")


@pytest.mark.slow
def test_all_are_played_and_the_worst_code_counts(rehearsing):
    rehearsing.write(name="bad", **{TROUBLE: ILL})
    rehearsing.write(ELSEWHERE, name="elsewhere")

    done = rehearsing("bad", "elsewhere", NAME, expect=5)

    assert rehearsing.result("bad").outcome == "failed"
    assert rehearsing.result("elsewhere").outcome == "skipped"
    assert rehearsing.result(NAME).outcome == "passed"
    assert "[database-elsewhere]" in done.stdout


def test_what_cannot_be_played_here_is_skipped_with_a_reason(rehearsing):
    rehearsing.write({"prefect": {"image": "docker.io/prefecthq/prefect:3.8.8"}}, name="foreign")
    large = {
        "machine": {"size": "performance-16x", "memory_mb": 131_072},
        "scaling": {"autostop": "stop"},
    }
    rehearsing.write(large, name="large")
    rehearsing.write(ELSEWHERE, name="elsewhere")

    rehearsing("foreign", "large", "elsewhere")

    found = {name: rehearsing.result(name) for name in ("foreign", "large", "elsewhere")}
    assert {result.outcome for result in found.values()} == {"skipped"}
    assert {name: result.word for name, result in found.items()} == {
        "foreign": "foreign-image",
        "large": "larger-than-here",
        "elsewhere": "database-elsewhere",
    }


@pytest.mark.slow
def test_no_value_of_this_computer_is_used_and_no_value_is_shown(rehearsing):
    rehearsing.write({"secrets": [AUTH_SECRET, HOOK]})
    given = {HOOK: CANARY, AUTH_SECRET: f"admin:{CANARY}", "FLY_API_TOKEN": CANARY}

    process = rehearsing.roost.begin("rehearse", NAME, "--base", str(rehearsing.base), **given)
    itself = psutil.Process(process.pid).cmdline()
    holders, made = set(), set()
    while process.poll() is None:
        for found in rehearsing.processes():
            try:
                # A child is its parent, variables and all, until it becomes another program.
                if found.cmdline() == itself:
                    continue
                environ = found.environ()
            except (psutil.Error, OSError):
                continue
            holders |= {found.pid} if CANARY in str(environ) else set()
            made |= {environ[name] for name in (HOOK, AUTH_SECRET) if name in environ}
        time.sleep(0.05)
    done = finish(process)

    assert done.returncode == 0, done.stderr
    assert holders == set()
    assert len(made) >= 2
    assert not [value for value in made if value in done.stdout + done.stderr]


def test_bad_files_end_with_3_before_anything_starts(rehearsing):
    (rehearsing.roost.environments / "worse.yaml").write_text("nonsense: true\n")

    done = rehearsing(NAME, "worse", expect=3)

    assert "worse.yaml:1:1: " in done.stderr
    assert not rehearsing.results.exists()


def test_a_base_that_is_no_checkout_is_told(rehearsing):
    (rehearsing.base / "deploy").unlink()

    done = rehearsing(expect=3)

    assert "is not a checkout" in done.stderr


@pytest.mark.slow
def test_as_json_the_documents_stand_alone_on_standard_output(rehearsing):
    done = rehearsing.roost.run("rehearse", NAME, "--json")

    [document] = json.loads(done.stdout)["rehearsals"]
    assert (document["environment"], document["outcome"]) == (NAME, "passed")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["daemon", "gate", "change"])
def test_ended_half_way_nothing_stays_behind(rehearsing, number, moment):
    rehearsing.write(PREFECT_LOGGING_LEVEL="DEBUG")
    process = rehearsing.roost.begin("rehearse", NAME, "--base", str(rehearsing.base))
    if moment == "daemon":
        until(lambda: len(rehearsing.processes()) > 1)
    else:
        wanted = "Gate:" if moment == "gate" else "the change"
        next(line for line in iter(process.stderr.readline, "") if wanted in line)
    os.kill(process.pid, number)
    done = finish(process)

    assert done.returncode == (-9 if number == signal.SIGKILL else 130)
    until(lambda: rehearsing.left() == [])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_while_an_image_is_built_nothing_stays_behind(rehearsing, number):
    parts = rehearsing.base / "deploy"
    parts.unlink()
    (parts / "locks").mkdir(parents=True)
    for name in ("Dockerfile", "locks/prefect-3.8.8.txt"):
        (parts / name).touch()
    (parts / "prices.yaml").symlink_to(DEPLOY / "prices.yaml")
    endless = ["python", "-c", "import time; time.sleep(600)"]
    spec = {"lock": "locks/prefect-{version}.txt", "files": [], "command": endless, "bake": endless}
    (parts / "image.json").write_text(json.dumps(spec))
    rehearsing.write(base=True, image="")

    process = rehearsing.roost.begin("rehearse", NAME, "--base", str(rehearsing.base))
    until(lambda: any("time.sleep(600)" in " ".join(arguments(p)) for p in rehearsing.processes()))
    os.kill(process.pid, number)
    finish(process)

    until(lambda: rehearsing.left() == [])


@pytest.mark.slow
def test_a_local_fly_that_is_killed_leaves_no_machine_behind(rehearsing):
    process = rehearsing.roost.begin("rehearse", NAME, "--results", str(rehearsing.results))
    next(line for line in iter(process.stderr.readline, "") if "Gate:" in line)
    [daemon] = [p for p in rehearsing.processes() if arguments(p)[-2:] == ["localfly", "serve"]]
    daemon.kill()
    done = finish(process)

    assert done.returncode == 1, done.stderr
    assert not shows_traceback(done.stderr), done.stderr
    assert rehearsing.result().outcome == "failed"
    assert rehearsing.left() == []


@pytest.mark.slow
def test_the_users_own_local_fly_is_left_alone(rehearsing, image_cache):
    own = LocalDaemon(rehearsing.roost.home, image_cache)
    try:
        own.start()
        rehearsing.roost.run("rehearse", NAME)

        assert own.client.get("/localfly/status").json()["apps"] == {}
        assert not (own.home / "throwaway-secrets.json").exists()
    finally:
        own.clean()


def arguments(process):
    """Return a process's arguments; none once it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
