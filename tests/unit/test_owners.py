"""The CODEOWNERS of this repository: an owner for all that can influence what runs beside a token."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roost.environment.load import load_files
from roost.report.codeowners import read_codeowners
from roost.report.owned_paths import must_be_owned, with_owners
from roost.report.setup import CODEOWNERS

ROOT = Path(__file__).parents[2]
FILES = load_files([ROOT / "environments"]).files
TEXT = (ROOT / CODEOWNERS).read_text()
OWNERS = read_codeowners(TEXT)
PLACEHOLDER = "@your-organization/platform"
FREE = {
    f"environments/{file.name}{suffix}"
    for file in FILES
    if not file.environment.protected
    for suffix in (".yaml", ".yml")
}
# What a pull request could add, for a program of a job to read, import or run.
DANGEROUS = (
    *("uv.toml", ".uv.toml", "pip.conf", "setup.cfg", "setup.py", "pyproject.toml", "tox.ini"),
    *("conftest.py", "docs/conftest.py", "tests/conftest.py", "pytest.ini", "sitecustomize.py"),
    *("usercustomize.py", "pyvenv.cfg", "x.pth", "json.py", "scripts/json.py", "scripts/httpx.pyc"),
    *("scripts/roost/__pycache__/cli.cpython-311.pyc", "scripts/httpx.so", "noxfile.py"),
    *(".env", ".python-version", ".netrc", ".npmrc", ".envrc", "Makefile", "python3", "git", "uv"),
    *(".gitattributes", ".gitmodules", ".gitconfig", ".lfsconfig", "environments/.gitattributes"),
    *(".run/roost/bin/python", ".RUN/roost/bin/python", ".nox/tests/bin/python", ".run"),
    *("environments/HEAD", "environments/config", "environments/x.py", "environments/x"),
    *("environments/_defaults.yaml", "environments/environment.schema.json"),
    *("environments/production.yaml", "environments/production.yml", "environments/new.yaml"),
    *("environments/sub/staging.yaml", "x/environments/staging.yaml", "environments/Staging.yaml"),
    *("environments/locks/staging.txt", "environments/locks/production.txt"),
    *("environments/staging.yaml.d/x", "environments/staging.json", "environments/staging.yaml/x"),
    *(
        "a.sops.json",
        "x.sops.yaml",
        "secrets/prod.enc.json",
        ".sops.yaml",
        "environments/.sops.yaml",
    ),
    *(".github/workflows/new.yml", ".github/actions/new/action.yml", ".github/CODEOWNERS"),
    *("deploy/Dockerfile", "deploy/.dockerignore", "deploy/roost_server/new.py", "compose.yaml"),
    *("requirements/roost.txt", "deploy/locks/prefect-9.9.9.txt", "run", ".ci/run", "CODEOWNERS"),
)


def tracked():
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [name for name in found.stdout.decode().split("\0") if name]


def test_every_file_of_the_repository_has_an_owner_but_unprotected_environments():
    free = {path for path in tracked() if not OWNERS.owners_of(path)}

    assert free == FREE & set(tracked())
    assert free == {"environments/staging.yaml"}


@pytest.mark.parametrize("path", [*DANGEROUS, *must_be_owned(FILES)])
def test_a_file_that_somebody_adds_to_run_beside_a_token_has_an_owner(path):
    assert OWNERS.owners_of(path) == (PLACEHOLDER,)


def test_it_is_what_init_would_write():
    assert with_owners("", PLACEHOLDER, FILES) == TEXT
    assert OWNERS.skipped == ()
