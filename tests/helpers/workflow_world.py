"""A whole repository of servers: an origin, pull requests, buttons, a schedule, and a Fly.

It does what GitHub does and act does not: makes events and merge commits, records deployments, starts the workflows whose filters
match, gives secrets to those who may have them, and lets nobody change the same environment at once, as a world
runs one workflow after the other.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import yaml

from helpers.act import ONLY_READS, OPENS_PULLS, Run, run_act
from helpers.environments import environment_data
from helpers.fake_github import Account, FakeGitHub, Pull
from helpers.fake_prefect import LOGIN
from helpers.local_daemon import LocalDaemon
from helpers.plain_http import NO_TLS
from helpers.prefect_versions import NEWEST
from helpers.small_server import SMALL, SMALL_PREFECT
from helpers.sops_files import age_key, encrypt
from helpers.waiting import LIMIT_S
from helpers.workflow_files import ROOT, workflows
from roost.environment.model import AUTH_SECRET
from roost.plan.desired import OVERRIDE_KEY

REPOSITORY = "acme/infra"
STRANGER = "stranger/infra"
PERSON = "alice"
"""Who does what nobody else is named for; an administrator."""
WRITERS = ("bob", "carol")
"""They may push branches and run workflows."""
DEPENDABOT = "dependabot[bot]"
TREE = ("run", "noxfile.py", "scripts", "deploy", "requirements", ".github", "pyproject.toml")
# What would tell where a secret went. None of them looks like another, or like anything else.
DEPLOY_TOKEN = "FlyV1 fm2_canary-deploy-8Qm2x7Lr"
PLAN_TOKEN = "FlyV1 fm2_canary-plan-4Zt9k1Wd"
APP_KEY = "-----BEGIN RSA PRIVATE KEY----- canary-app-2Vb6 -----END RSA PRIVATE KEY-----"
APP_ID = "Iv23liTheApp"
APP_BOT = "roost-acme[bot]"
HOOK = "https://hooks.example/canary-hook-5Hn3"
CANARIES = (DEPLOY_TOKEN, PLAN_TOKEN, HOOK, LOGIN, APP_KEY)


@dataclass(frozen=True)
class Event:
    """An event of the repository that can start workflows."""

    name: str
    sha: str
    payload: Mapping[str, Any]
    branch: str = "main"
    kind: str = ""
    files: tuple[str, ...] = ()
    of_a_fork: bool = False
    actor: str = PERSON
    again_by: str = ""
    """Who ran it again, where somebody did."""
    approved: tuple[str, str] = ("", "")
    """The GitHub environment that a reviewer let it deploy to, and that reviewer."""

    def run_again(self, by: str) -> Event:
        """Return the same event for a repeated run."""
        return replace(self, again_by=by)

    @property
    def is_restricted(self) -> bool:
        """Whether its runs get no secrets, and a read-only token."""
        return self.of_a_fork or self.actor == DEPENDABOT


def copy_tree(folder: Path) -> None:
    """Copy the files that workflows need from the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *TREE],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "environments").mkdir()
    for name in ("_defaults.yaml", "environment.schema.json"):
        shutil.copy2(ROOT / "environments" / name, folder / "environments" / name)


def compile_scripts(python: Path, folder: Path) -> Path:
    """Compile `scripts/` for a Python; return the folder with `__pycache__` at the place of each package.

    Each checkout would do so again, in a third of a second of each job. Python compares the hash of
    the source before it takes any of it: what a checkout has changed is compiled anew.
    """
    copied = folder / "scripts"
    shutil.copytree(ROOT / "scripts", copied, ignore=shutil.ignore_patterns("__pycache__"))
    compiling = ("-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(copied))
    subprocess.run([python, *compiling], check=True, capture_output=True)
    for path in copied.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            path.unlink()
    return copied


@dataclass
class World:
    """One repository on a GitHub of its own, and its apps on a Fly.

    Args:
        folder: where it keeps its files.
        fly: the local Fly, which other worlds may share.
        cache: the image cache of the local Fly, for rehearsals.
        state: the folder that `./run` has set up.
        bytecode: of `scripts/`, which each checkout is given.
        team: the unique prefix of the names of its apps.
    """

    folder: Path
    fly: LocalDaemon
    cache: Path
    state: Path
    bytecode: Path
    team: str = "acme"
    runs: list[Run] = field(default_factory=list)
    secrets: dict[str, str] = field(
        default_factory=lambda: {
            "FLY_API_TOKEN": DEPLOY_TOKEN,
            AUTH_SECRET: LOGIN,
            f"{ONLY_READS}FLY_API_TOKEN": PLAN_TOKEN,
        }
    )

    canaries: list[str] = field(default_factory=lambda: list(CANARIES))
    settings: dict[str, str] = field(default_factory=dict)
    """The repository's own variables."""
    index: str = ""
    """The index of packages that jobs ask, where it is another one than the runner's."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self.programs = self.folder / "bin"
        """Programs of the test's own, before any other."""
        self.programs.mkdir(parents=True)
        self.origin = self.folder / "remotes" / REPOSITORY
        self.desk = self.folder / "desk"
        (self.folder / "home").mkdir(parents=True)
        self.origin.parent.mkdir(parents=True)
        # Closed: nothing of whoever runs the tests reaches a job.
        self.environ = {
            "PATH": os.pathsep.join(
                [str(self.programs), str(_python().parent), "/usr/local/bin", "/usr/bin", "/bin"]
            ),
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_NAME": PERSON for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": f"{PERSON}@example.test" for who in ("AUTHOR", "COMMITTER")},
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{self.folder}/remotes/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
        }
        self.git("init", "-q", "--bare", "-b", "main", str(self.origin), cwd=self.folder)
        self.git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=self.origin)
        self.github = FakeGitHub(self.origin, repository=REPOSITORY).__enter__()
        self.github.state.roles |= dict.fromkeys(WRITERS, "write")

    def close(self) -> None:
        """Stop everything that was started."""
        self.github.__exit__(None, None, None)

    # The repository

    def found(self, **environments: Mapping[str, Any]) -> World:
        """Create the repository with these environments on main."""
        self.desk.mkdir(exist_ok=True)
        copy_tree(self.desk)
        for name, fields in environments.items():
            self.write(name, **fields)
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", f"https://github.com/{REPOSITORY}")
        self._commit("Begin")
        self.git("push", "-q", "origin", "main")
        return self

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git, in the person's clone by default."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.desk,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.strip()

    def write(self, name: str, *, small: bool = True, **fields: Any) -> None:
        """Write an environment file in the person's clone: a small server, or a real one, with these fields."""
        ran = {"version": SMALL_PREFECT, "image": SMALL} if small else {"version": NEWEST}
        prefect = {**ran, **fields.pop("prefect", {})}
        # An organization of its own, too: what others left on the same Fly is nobody's orphan here.
        own = {"app": self.app(name), "organization": self.team}
        data = environment_data(prefect=prefect, **{**own, **fields})
        path = self.desk / "environments" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))

    @property
    def main(self) -> str:
        """The commit of main."""
        return self.git("rev-parse", "main", cwd=self.origin)

    def show(self, path: str, branch: str = "main") -> str:
        """Return a file of a branch of the origin."""
        return self.git("show", f"{branch}:{path}", cwd=self.origin)

    def keep_in_git(self, file: str, **values: str) -> Callable[[str], None]:
        """Add an encrypted secret in the person's clone; return a function that changes its value."""
        key = age_key()
        [name] = values
        self.secrets["SOPS_AGE_KEY"] = key.private
        self.canaries += [key.private]

        def put(value: str) -> None:
            self.canaries.append(value)
            encrypt(self.desk / file, f"{name}: {value}\n", key)

        self.desk.mkdir(exist_ok=True)
        put(values[name])
        return put

    def branch(self, name: str) -> None:
        """Create a branch in the person's clone, from the present main."""
        self.git("fetch", "-q", "origin")
        self.git("checkout", "-q", "-B", name, "origin/main")

    def push(self, message: str, branch: str = "main") -> str:
        """Commit everything in the person's clone, push it, and return the commit."""
        self._commit(message)
        self.git("push", "-q", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def _commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def add_app(self) -> str:
        """Set up the App that opens pull requests; return the token of its key."""
        held = {"contents": "write", "pull_requests": "write"}
        named = ",".join(f"{name}={level}" for name, level in held.items())
        made = hashlib.sha256(f"{APP_ID}|{APP_KEY}|{named}".encode()).hexdigest()[:40]
        token = f"ghs_{made}"
        self.github.tokens[token] = Account(APP_BOT, held)
        self.secrets[f"{OPENS_PULLS}ROOST_APP_PRIVATE_KEY"] = APP_KEY
        self.settings["ROOST_APP_ID"] = APP_ID
        self.canaries.append(token)
        return token

    # Its servers

    def app(self, name: str) -> str:
        """The name of an environment's app."""
        return f"{self.team}-{name}"

    def machine(self, name: str) -> dict[str, Any]:
        """The one machine of an environment, as Fly shows it."""
        [machine] = self.machines(name)
        return machine

    def machines(self, name: str) -> list[dict[str, Any]]:
        """Return the machines of an environment; none while it has no app."""
        answer = self.fly.client.get(f"/v1/apps/{self.app(name)}/machines")
        found: list[dict[str, Any]] = answer.json() if answer.is_success else []
        return found

    def setting(self, name: str, setting: str) -> str | None:
        """Return a setting of the server, from its running machine."""
        found: str | None = self.machine(name)["config"]["env"].get(setting)
        return found

    def serves(self, name: str) -> bool:
        """Return whether the server accepts the login."""
        port = self.fly.client.get("/localfly/status").json()["apps"][self.app(name)]["port"]
        user, _, password = LOGIN.partition(":")
        answer = httpx.get(
            f"http://127.0.0.1:{port}/api/admin/version",
            auth=(user, password),
            trust_env=False,
            timeout=LIMIT_S,
            verify=NO_TLS,
        )
        return answer.is_success

    def by_hand(self, name: str, **changes: Any) -> None:
        """Change a machine by hand, outside of git; `metadata` and `env` are merged."""
        machine = self.machine(name)
        config = machine["config"]
        for part, change in changes.items():
            config[part] = {**config.get(part, {}), **change}
        app = f"/apps/{self.app(name)}"
        self.fly.call("POST", f"{app}/machines/{machine['id']}", {"config": config})
        self.fly.wait(app, machine["id"], "started")

    def sees_hook(self, name: str, value: str) -> bool:
        """Return whether the server has this value of HOOK_URL; it reports only a hash."""
        port = self.fly.client.get("/localfly/status").json()["apps"][self.app(name)]["port"]
        answer = httpx.get(
            f"http://127.0.0.1:{port}/seen", trust_env=False, timeout=LIMIT_S, verify=NO_TLS
        )
        return answer.text == hashlib.sha256(value.encode()).hexdigest()

    def let_override_expire(self, name: str) -> None:
        """Move the end of an override into the past, as time would."""
        metadata = self.machine(name)["config"]["metadata"]
        override = json.loads(metadata[OVERRIDE_KEY])
        past = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T04:00:00Z"}
        self.by_hand(name, metadata={OVERRIDE_KEY: json.dumps({**override, **past})})

    # What nobody may find

    def assert_no_secret_anywhere(self) -> None:
        """Check that no secret value is in anything that was published."""
        told = [*self.written(), *(run.everything() for run in self.runs)]
        told.append(self.git("log", "--all", "--format=%B", "--patch", cwd=self.origin))
        for canary in self.canaries:
            for spelling in (canary, base64.b64encode(canary.encode()).decode(), canary[::-1]):
                assert not [text for text in told if spelling in text], spelling

    def written(self) -> list[str]:
        """Everything written on GitHub: titles, texts, labels, and all versions of comments."""
        state = self.github.state
        told = [part for issue in state.issues.values() for part in (issue.title, issue.body)]
        told += [text for issue in state.issues.values() for text in issue.labels]
        told += [str(text) for label in state.labels.values() for text in label.values()]
        return told + [body for c in state.all_comments.values() for body in (c.body, *c.bodies)]

    # What happens

    def happens(self, event: Event, *only: str) -> dict[str, Run]:
        """Run the workflows that GitHub would start, one after the other."""
        started = [
            workflow.file.removesuffix(".yml")
            for workflow in workflows(self._clone_of(event.sha))
            if workflow.starts(event.name, branch=event.branch, kind=event.kind, files=event.files)
        ]
        # What `checks` runs are these tests themselves, among others: only where it is asked for.
        wanted = [name for name in started if name in (only or {*started} - {"checks"})]
        assert set(only) <= set(wanted), (only, started)
        return {name: self._run(name, event) for name in wanted}

    def pushed(self, before: str, *only: str) -> dict[str, Run]:
        """Run the workflows of a push that moved main from a commit to its present one."""
        return self.happens(self.push_event(before, self.main), *only)

    def push_event(self, before: str, after: str) -> Event:
        """The event of a push to main."""
        payload = {
            "ref": "refs/heads/main",
            "before": before,
            "after": after,
            "head_commit": {"id": after, "message": self._message(after)},
        }
        return Event("push", after, payload, files=self._between(before, after))

    def open_pull(self, title: str, *, fork: bool = False) -> tuple[int, dict[str, Run]]:
        """Open a pull request from the person's clone; return its number and the runs."""
        branch = self.git("branch", "--show-current")
        self.push(title, branch)
        number = self.add_pull(title, branch, fork=fork)
        return number, self.happens(self.pull_event(number, "opened"))

    def add_pull(self, title: str, branch: str, *, fork: bool = False) -> int:
        """Open a pull request from a pushed branch, without running workflows."""
        pull = self.github.add_pull(
            branch,
            title=title,
            author="mallory" if fork else PERSON,
            head_sha=self.github.head(branch),
            head_repository=STRANGER if fork else REPOSITORY,
        )
        return pull.number

    def push_again(self, number: int) -> dict[str, Run]:
        """Push the person's clone to the branch of a pull request."""
        self.push("Another try", self.github.pull(number).head_ref)
        return self.happens(self.pull_event(number, "synchronize"))

    def pull_event(
        self,
        number: int,
        kind: str,
        changes: Mapping[str, Any] | None = None,
        actor: str = PERSON,
    ) -> Event:
        """The event of a pull request, at the commit that merging it would make.

        Args:
            number: the pull request's.
            kind: the type of the event.
            changes: for an edit, the former values.
            actor: who caused the event.
        """
        pull = self.github.pull(number)
        base, sha = self.main, self._merge_commit(pull)
        self.git("push", "-q", "--force", str(self.origin), f"{sha}:refs/pull/{number}/merge")
        return Event(
            "pull_request",
            sha,
            {
                "action": kind,
                "number": number,
                "pull_request": _told(pull),
                **({"changes": changes} if changes else {}),
            },
            kind=kind,
            files=self._between(base, sha),
            of_a_fork=pull.head_repository != REPOSITORY,
            actor=actor,
        )

    def merge(self, number: int) -> Event:
        """Merge a pull request without running workflows, and return the event of the push."""
        self.github.pass_time()  # somebody reads the comment
        before, sha = self.main, self._merge_commit(self.github.pull(number))
        self.git("push", "-q", str(self.origin), f"{sha}:refs/heads/main")
        self.github.mark_merged(number, sha)
        return self.push_event(before, sha)

    def _merge_commit(self, pull: Pull) -> str:
        here = self.git("rev-parse", "HEAD")
        branch = self.git("branch", "--show-current")
        self.git("fetch", "-q", "origin")
        self.git("checkout", "-q", "--detach", "origin/main")
        message = f"Merge pull request #{pull.number} from {pull.head_ref}"
        self.git("merge", "-q", "--no-ff", "-m", message, pull.head_sha)
        sha = self.git("rev-parse", "HEAD")
        self.git("checkout", "-q", branch or here)
        return sha

    def comment(self, number: int) -> str:
        """Return the only comment of a pull request."""
        [found] = self.github.comments(number)
        return found.body

    def press(
        self,
        workflow: str,
        *,
        by: str = PERSON,
        again_by: str = "",
        approved_by: str = "",
        **inputs: Any,
    ) -> Run:
        """Start a workflow by hand on main; optionally as a repeated run, or with a review."""
        given = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in inputs.items()}
        payload = {"ref": "refs/heads/main", "inputs": given, "workflow": f"{workflow}.yml"}
        approved = (given["environment"], approved_by) if approved_by else ("", "")
        event = Event(
            *("workflow_dispatch", self.main, payload),
            actor=by,
            again_by=again_by,
            approved=approved,
        )
        return self.happens(event, workflow)[workflow]

    def deploy_all(self) -> Run:
        """Deploy every environment of main, as the first push of a repository does."""
        payload = {"ref": "refs/heads/main", "before": "0" * 40, "after": self.main}
        return self.happens(Event("push", self.main, payload), "deploy")["deploy"]

    def schedule(self, workflow: str = "drift") -> Run:
        """Run a workflow as its schedule does."""
        [entry] = next(
            found.events["schedule"]
            for found in workflows(self._clone_of(self.main))
            if found.file == f"{workflow}.yml"
        )
        payload = {"ref": "refs/heads/main", "schedule": entry["cron"]}
        return self.happens(Event("schedule", self.main, payload), workflow)[workflow]

    def _run(self, name: str, event: Event) -> Run:
        number = next(self._numbers)
        folder = self.folder / f"run-{number}"
        folder.mkdir()

        def token_for(permissions: Mapping[str, str]) -> str:
            # With that of a fork's pull request, or of Dependabot's, nothing is written, whatever a job asks for.
            held = dict.fromkeys(permissions, "read") if event.is_restricted else permissions
            self.canaries.append(self.github.token_for(held))
            return self.canaries[-1]

        environment, reviewer = event.approved
        self.github.state.reviews[1000 + number] = []
        if reviewer:
            self.github.add_review(1000 + number, environment, reviewer)
        run = run_act(
            folder,
            self._clone_of(event.sha),
            f"{name}.yml",
            event.name,
            {**self._about(), **event.payload},
            token_for=token_for,
            secrets={} if event.is_restricted else self.secrets,
            variables=self._variables(1000 + number, event),
            settings=self.settings,
            environ=self.environ,
            actor=event.actor,
        )
        self.runs.append(run)
        self._record_deployments(f"{name}.yml", event, run)
        return run

    def _record_deployments(self, file: str, event: Event, run: Run) -> None:
        """Record deployments as GitHub does: for each successful job with an environment."""
        [workflow] = [w for w in workflows(self._clone_of(event.sha)) if w.file == file]
        leaving = {job.name: job.environment for job in workflow.jobs if job.leaves_deployment}
        for ran, result in run.jobs.items():
            job, _, matrix = ran.partition(" ")
            if job in leaving and result == "success":
                asked = event.payload.get("inputs", {}).get("environment", "")
                self.github.ran_in(matrix or asked or leaving[job], event.sha)

    def _variables(self, run_id: int, event: Event) -> dict[str, str]:
        return {
            "GITHUB_API_URL": self.github.url,
            "GITHUB_RUN_ID": str(run_id),
            "GITHUB_RUN_ATTEMPT": "2" if event.again_by else "1",
            "GITHUB_TRIGGERING_ACTOR": event.again_by or event.actor,
            "FLY_FLAPS_BASE_URL": str(self.fly.client.base_url),
            "LOCALFLY_CACHE": str(self.cache),
            "LOCALFLY_HOME": str(self.folder / "home" / "localfly"),
            "RUN_STATE": str(self.state),
            "BYTECODE": str(self.bytecode),
            "TERM": "dumb",
            "NO_COLOR": "1",
            "GIT_PAGER": "cat",
            **({"UV_DEFAULT_INDEX": self.index} if self.index else {}),
        }

    def _about(self) -> dict[str, Any]:
        owner, name = REPOSITORY.split("/")
        repository = {
            "full_name": REPOSITORY,
            "name": name,
            "owner": {"login": owner},
            "default_branch": "main",
            "private": False,
        }
        return {"repository": repository, "sender": {"login": PERSON}}

    def _clone_of(self, sha: str) -> Path:
        """Return a clean clone at a commit."""
        clone = self.folder / "clones" / sha
        if not clone.exists():
            self.git("clone", "-q", str(self.origin), str(clone), cwd=self.folder)
            self.git("remote", "set-url", "origin", f"https://github.com/{REPOSITORY}", cwd=clone)
            self.git("fetch", "-q", "origin", sha, cwd=clone)
            self.git("checkout", "-q", "--detach", sha, cwd=clone)
        return clone

    def _between(self, before: str, after: str) -> tuple[str, ...]:
        return tuple(self.git("diff", "--name-only", before, after, cwd=self.origin).splitlines())

    def _message(self, sha: str) -> str:
        return self.git("log", "-1", "--format=%B", sha, cwd=self.origin)


def _told(pull: Pull) -> dict[str, Any]:
    """Return the pull request in an event; its base is main at the time it was opened."""
    of_a_fork = pull.head_repository != REPOSITORY
    return {
        "number": pull.number,
        "title": pull.issue.title,
        "html_url": f"https://github.com/{REPOSITORY}/pull/{pull.number}",
        "user": {"login": pull.issue.author},
        "draft": False,
        "head": {
            "ref": pull.head_ref,
            "sha": pull.head_sha,
            "repo": {"full_name": pull.head_repository, "fork": of_a_fork},
        },
        "base": {"ref": "main", "sha": pull.base_sha, "repo": {"full_name": REPOSITORY}},
    }


def _python() -> Path:
    """Return the Python below the tests' environment, so that jobs do not see packages of the tests."""
    return Path(sys.executable).resolve()
