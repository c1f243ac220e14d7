"""A GitHub of one repository: its API over HTTP, with memory, and a bare git repository behind it.

What a token may do is written into it (`token_for`), as each job of a workflow has a token of its own, and is
held to: a job that asks for more than its `permissions` say is refused, as on GitHub.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Json = dict[str, Any]

BOT = "github-actions[bot]"
LONGEST = 65_536
"""Characters of a comment or an issue; GitHub refuses more."""
TOKEN = "ghs_canary0workflow0token0000000000000000"

OF_A_FORK = ".of-a=fork"
"""In a token for a fork's pull request: nothing may be written with it, whatever permissions say."""


def token_for(permissions: Mapping[str, str]) -> str:
    """Give the token of a job that has these permissions."""
    return "".join([TOKEN, *(f".{name}={level}" for name, level in sorted(permissions.items()))])


class RefusedError(Exception):
    """Another answer than the one hoped for."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message


class GitHubSite(ThreadingHTTPServer):
    """Serves one repository.

    Args:
        origin: the bare repository.
        name: `owner/name`.
        environ: for git.
    """

    daemon_threads = True

    def __init__(self, origin: Path, name: str, environ: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = origin
        self.name = name
        self.environ = dict(environ)
        self.pulls: dict[int, Json] = {}
        self.comments: dict[int, list[Json]] = {}
        self.issues: dict[int, Json] = {}
        self.labels: dict[str, Json] = {}
        self.schedules: list[Json] = []
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self._numbers = count(1)
        self._ids = count(1001)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where its API answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        """Serve no more."""
        self.shutdown()
        self.server_close()

    def git(self, *arguments: str, stdin: bytes = b"", **environ: str) -> str:
        """Run git in the repository."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.origin,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise RefusedError(404, done.stderr.decode())
        return done.stdout.decode().strip()

    # What people do in the browser

    def open_pull(self, title: str, head: str, repository: str, author: str) -> Json:
        """Open a pull request from a branch to main."""
        with self.lock:
            number = next(self._numbers)
            self.pulls[number] = {
                "number": number,
                "title": title,
                "state": "open",
                "merged_at": None,
                "merge_commit_sha": None,
                "user": {"login": author},
                "html_url": f"https://github.com/{self.name}/pull/{number}",
                "head": {
                    "ref": head,
                    "repo": {"full_name": repository, "fork": repository != self.name},
                },
                "base": {"ref": "main", "repo": {"full_name": self.name}},
                "draft": False,
            }
            self.comments[number] = []
            return self.refresh(number)

    def refresh(self, number: int) -> Json:
        """Bring a pull request to where its branch and main are now."""
        pull = self.pulls[number]
        if pull["state"] == "open":
            pull["head"]["sha"] = self.git("rev-parse", f"refs/heads/{pull['head']['ref']}")
            pull["base"]["sha"] = self.git("rev-parse", "refs/heads/main")
        return pull

    def merged(self, number: int, commit: str) -> None:
        """Note that a pull request was merged by a commit."""
        self.pulls[number].update(
            state="closed", merged_at=_now(), merge_commit_sha=commit, merged=True
        )

    def bodies(self) -> str:
        """Everything that anybody wrote: comments, issues, pull requests."""
        return json.dumps([self.pulls, self.comments, self.issues, self.labels])

    # Its API. Each takes what its path names, the query and the body.

    def commit_pulls(self, sha: str, *_: Any) -> list[Json]:
        """Pull requests that brought a commit."""
        return [pull for pull in self.pulls.values() if self._holds(pull, sha)]

    def _holds(self, pull: Json, sha: str) -> bool:
        if pull["merge_commit_sha"] == sha:
            return True
        own = self.git("rev-list", pull["head"]["sha"], "--not", pull["base"]["sha"])
        return sha in own.split()

    def list_pulls(self, query: Json, _: Json) -> list[Json]:
        """All pull requests, of a branch where one is named."""
        state, head = query.get("state", "open"), query.get("head", "")
        return [
            self.refresh(number)
            for number, pull in self.pulls.items()
            if state in {pull["state"], "all"}
            and (
                not head
                or head
                == f"{pull['head']['repo']['full_name'].split('/')[0]}:{pull['head']['ref']}"
            )
        ]

    def create_pull(self, _: Json, body: Json) -> Json:
        """Open one, as a workflow does."""
        self.git("rev-parse", f"refs/heads/{body['head']}")
        found = self.open_pull(body["title"], body["head"], self.name, BOT)
        found["body"] = body["body"]
        return found

    def list_comments(self, number: str, *_: Any) -> list[Json]:
        """All comments of a pull request or an issue."""
        return self.comments.get(int(number), [])

    def create_comment(self, number: str, _: Json, body: Json) -> Json:
        """Write one."""
        made = {
            "id": next(self._ids),
            "body": _fitting(body["body"]),
            "user": {"login": BOT},
            "html_url": f"https://github.com/{self.name}/pull/{number}#issuecomment",
            "created_at": _now(),
            "updated_at": _now(),
        }
        self.comments[int(number)].append(made)
        return made

    def update_comment(self, wanted: str, _: Json, body: Json) -> Json:
        """Write one anew; what it was stays in its history."""
        for comment in (c for several in self.comments.values() for c in several):
            if comment["id"] == int(wanted):
                comment.setdefault("history", []).append(comment["body"])
                comment.update(body=_fitting(body["body"]), updated_at=_now())
                return comment
        raise RefusedError(404, "Not Found")

    def list_issues(self, query: Json, _: Json) -> list[Json]:
        """Issues with a label."""
        label, state = query.get("labels", ""), query.get("state", "open")
        return [
            issue
            for issue in reversed(self.issues.values())
            if state in {issue["state"], "all"}
            and (not label or label in {found["name"] for found in issue["labels"]})
        ]

    def create_issue(self, _: Json, body: Json) -> Json:
        """Open one."""
        number = next(self._numbers)
        self.comments[number] = []
        self.issues[number] = {
            "number": number,
            "title": body["title"],
            "body": _fitting(body["body"]),
            "state": "open",
            "state_reason": None,
            "user": {"login": BOT},
            "labels": [{"name": name} for name in body.get("labels", [])],
            "html_url": f"https://github.com/{self.name}/issues/{number}",
            "updated_at": _now(),
        }
        return self.issues[number]

    def update_issue(self, number: str, _: Json, body: Json) -> Json:
        """Change, close or reopen one."""
        self.issues[int(number)].update({**body, "updated_at": _now()})
        return self.issues[int(number)]

    def label(self, name: str, *_: Any) -> Json:
        """A label that is there."""
        if name not in self.labels:
            raise RefusedError(404, "Not Found")
        return self.labels[name]

    def create_label(self, _: Json, body: Json) -> Json:
        """Make one."""
        return self.labels.setdefault(body["name"], body)

    def ref(self, branch: str, *_: Any) -> Json:
        """Where a branch stands."""
        return {"object": {"sha": self.git("rev-parse", f"refs/heads/{branch}")}}

    def create_ref(self, _: Json, body: Json) -> Json:
        """Make a branch."""
        self.git("update-ref", body["ref"], body["sha"], "0" * 40)
        return {"object": {"sha": body["sha"]}}

    def delete_ref(self, branch: str, *_: Any) -> None:
        """Remove a branch."""
        self.git("update-ref", "-d", f"refs/heads/{branch}")

    def compare(self, base: str, head: str, *_: Any) -> Json:
        """What differs between a commit and where it left another one."""
        fork = self.git("merge-base", base, head)
        names = self.git("diff", "--name-only", "--no-renames", fork, head).splitlines()
        return {
            "merge_base_commit": {"sha": fork},
            "files": [{"filename": name} for name in names][:300],
        }

    def contents(self, path: str, query: Json, _: Json) -> Json:
        """A file of a commit."""
        try:
            self.git("rev-parse", "--verify", f"{query['ref']}^{{commit}}")
        except RefusedError as error:
            raise RefusedError(404, f"No commit found for the ref {query['ref']}") from error
        sha = self.git("rev-parse", f"{query['ref']}:{path}")
        content = subprocess.run(
            ["git", "cat-file", "blob", sha], cwd=self.origin, capture_output=True, check=True
        ).stdout
        return {
            "type": "file",
            "encoding": "base64",
            "path": path,
            "sha": sha,
            "size": len(content),
            "content": base64.encodebytes(content).decode(),
        }

    def put_contents(self, path: str, _: Json, body: Json) -> Json:
        """Write a file in a commit of its own."""
        branch = f"refs/heads/{body['branch']}"
        if self.git("rev-parse", f"{branch}:{path}") != body.get("sha"):
            raise RefusedError(409, f"{path} does not match")
        blob = self.git(*("hash-object", "-w", "--stdin"), stdin=base64.b64decode(body["content"]))
        index = {"GIT_INDEX_FILE": str(self.origin / "put.index")}
        self.git("read-tree", branch, **index)
        self.git("update-index", "--cacheinfo", f"100644,{blob},{path}", **index)
        tree = self.git("write-tree", **index)
        commit = self.git("commit-tree", tree, "-p", branch, "-m", body["message"])
        self.git("update-ref", branch, commit)
        return {"content": {"sha": blob}, "commit": {"sha": commit}}

    def workflow_runs(self, _file: str, query: Json, _: Json) -> Json:
        """The newest runs that the schedule started."""
        found = self.schedules if query.get("event") == "schedule" else []
        return {"workflow_runs": found[: int(query["per_page"])]}

    def repository(self, *_: Any) -> Json:
        """The repository itself."""
        return {"full_name": self.name, "default_branch": "main", "private": True}


# Verb and path below the repository; which permission the token must hold, of several any; what answers.
ROUTES: list[tuple[str, str, dict[str, str], Callable[..., Any]]] = [
    ("GET", r"", {}, GitHubSite.repository),
    ("GET", r"/commits/(\w+)/pulls", {"pull-requests": "read"}, GitHubSite.commit_pulls),
    ("GET", r"/pulls", {"pull-requests": "read"}, GitHubSite.list_pulls),
    ("POST", r"/pulls", {"pull-requests": "write"}, GitHubSite.create_pull),
    (
        *("GET", r"/issues/(\d+)/comments"),
        *({"pull-requests": "read", "issues": "read"}, GitHubSite.list_comments),
    ),
    (
        *("POST", r"/issues/(\d+)/comments"),
        *({"pull-requests": "write", "issues": "write"}, GitHubSite.create_comment),
    ),
    (
        *("PATCH", r"/issues/comments/(\d+)"),
        *({"pull-requests": "write", "issues": "write"}, GitHubSite.update_comment),
    ),
    ("GET", r"/issues", {"issues": "read"}, GitHubSite.list_issues),
    ("POST", r"/issues", {"issues": "write"}, GitHubSite.create_issue),
    ("PATCH", r"/issues/(\d+)", {"issues": "write"}, GitHubSite.update_issue),
    ("GET", r"/labels/(.+)", {"issues": "read"}, GitHubSite.label),
    ("POST", r"/labels", {"issues": "write"}, GitHubSite.create_label),
    ("GET", r"/git/ref/heads/(.+)", {"contents": "read"}, GitHubSite.ref),
    ("POST", r"/git/refs", {"contents": "write"}, GitHubSite.create_ref),
    ("DELETE", r"/git/refs/heads/(.+)", {"contents": "write"}, GitHubSite.delete_ref),
    ("GET", r"/compare/(.+)\.\.\.(.+)", {"contents": "read"}, GitHubSite.compare),
    ("GET", r"/contents/(.+)", {"contents": "read"}, GitHubSite.contents),
    ("PUT", r"/contents/(.+)", {"contents": "write"}, GitHubSite.put_contents),
    ("GET", r"/actions/workflows/([\w.]+)/runs", {"actions": "read"}, GitHubSite.workflow_runs),
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GitHubSite

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self) -> None:
        """Answer one request."""
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        self.server.calls.append((self.command, address.path))
        try:
            call = self.route(unquote(address.path))
            with self.server.lock:
                found = call(query, json.loads(content) if content else {})
        except RefusedError as error:
            self.tell(error.status, {"message": error.message})
            return
        status = {"POST": 201, "DELETE": 204}.get(self.command, 200)
        if isinstance(found, list):
            self.tell_page(found, query, address.path)
        else:
            self.tell(status, found)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815 - the names that are called

    def route(self, path: str) -> Callable[[Json, Json], Any]:
        """Find what answers, if the token may have it."""
        below = path.removeprefix(f"/repos/{self.server.name}")
        for verb, pattern, needed, method in ROUTES:
            match = re.fullmatch(pattern, below)
            if verb == self.command and match and path != below:
                self.check(needed)
                return partial(method, self.server, *match.groups())
        raise RefusedError(404, f"Not Found: {self.command} {path}")

    def check(self, needed: Mapping[str, str]) -> None:
        """Hold the token to its permissions."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in {"bearer", "token"} or not token.startswith(TOKEN):
            raise RefusedError(401, "Bad credentials")
        held = dict(part.split("=") for part in token.split(".")[1:])
        if OF_A_FORK in token:
            held = dict.fromkeys(held, "read")
        enough = (held.get(name) in {level, "write"} for name, level in needed.items())
        if needed and not any(enough):
            raise RefusedError(403, "Resource not accessible by integration")

    def tell_page(self, found: list[Any], query: Json, path: str) -> None:
        """Answer with one page of a list, and say where the next is."""
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        links = {}
        if len(found) > size * page:
            following = "&".join(f"{k}={v}" for k, v in {**query, "page": page + 1}.items())
            links = {"Link": f'<{self.server.url}{path}?{following}>; rel="next"'}
        self.tell(200, found[size * (page - 1) : size * page], links)

    def tell(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a document."""
        content = b"" if status == 204 else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-GitHub-Request-Id", f"{os.getpid():X}:{next(self.server._ids):X}")
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fitting(body: str) -> str:
    if len(body) > LONGEST:
        raise RefusedError(422, "body is too long (maximum is 65536 characters)")
    return body
