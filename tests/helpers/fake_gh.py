"""The commands of `gh` and `fly` that `roost init` and `roost doctor` print; `gh` calls a stand-in for GitHub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

GH = r"""#!{python}
import json, re, sys, urllib.error, urllib.request

API, TOKEN, REPOSITORY = {api!r}, {token!r}, {repository!r}


def call(verb, path, body=None):
    path = path.replace("{{owner}}/{{repo}}", REPOSITORY)
    asked = urllib.request.Request(
        f"{{API}}/{{path}}",
        method=verb,
        data=None if body is None else json.dumps(body).encode(),
        headers={{"Authorization": f"Bearer {{TOKEN}}", "User-Agent": "gh"}},
    )
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        sys.exit(f"gh: {{error.code}} {{error.read().decode()}}")


def api(words):
    verb, path, body, jq = "GET", "", None, ""
    while words:
        word = words.pop(0)
        if word == "-X":
            verb = words.pop(0)
        elif word == "--input":
            name = words.pop(0)
            body = json.loads(sys.stdin.read() if name == "-" else open(name).read())
        elif word in ("-f", "-F"):
            key, _, value = words.pop(0).partition("=")
            typed = {{"true": True, "false": False}}.get(value, value) if word == "-F" else value
            body = {{**(body or {{}}), key: typed}}
        elif word == "--jq":
            jq = words.pop(0)
        else:
            path = word
    if path == "user":  # the one expression of jq that there is: keys without quotes, and the id
        print(re.sub(r"([{{ ])(\w+):", r'\1"\2":', jq).replace(".id", "7"))
    else:
        print(call(verb, path, body))


def secret(verb, name, *words):
    given = dict(zip(words[::2], words[1::2]))
    root = f"repos/{{REPOSITORY}}"
    where = f"environments/{{given['--env']}}" if "--env" in given else "actions"
    if verb == "set":
        assert sys.stdin.read().strip(), "an empty value"
        call("PUT", f"{{root}}/{{where}}/secrets/{{name}}", {{"encrypted_value": "x", "key_id": "1"}})
    else:
        call("DELETE", f"{{root}}/{{where}}/secrets/{{name}}")


kind, *words = sys.argv[1:]
api(words) if kind == "api" else secret(*words)
"""
FLY = '#!/bin/sh\ncase "$*" in "tokens create"*) echo "FlyV1 fm2_made" ;; esac\n'


class FakeGh:
    """Both programs in a folder, logged in with a token."""

    def __init__(self, folder: Path, api: str, token: str, repository: str = "acme/infra") -> None:
        folder.mkdir()
        self.folder = folder
        given = {"api": api, "token": token, "repository": repository}
        for name, text in (("gh", GH.format(python=sys.executable, **given)), ("fly", FLY)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def run(self, line: str, cwd: Path, typed: str = "") -> None:
        """Run a command line, and type `typed` where a program asks."""
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line],
            cwd=cwd,
            env={"PATH": f"{self.folder}:{os.environ['PATH']}"},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
