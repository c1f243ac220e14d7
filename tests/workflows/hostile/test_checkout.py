"""Files that a pull request adds to run beside the tokens: each is played for real, and nothing gets out.

The programs of these attacks all do the same: they send what they find to a listener of the test's, which
`test_what_is_searched_for_would_be_found` shows to hear it.
"""

from __future__ import annotations

import base64
import json
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.hostile_checkout import CANARIES, HostileCheckout, Listener, backend
from helpers.sops_files import SOPS, age_key, encrypt
from helpers.workflow_files import ROOT

SCRIPTS = ROOT / "scripts"
IN_A_JOB = "as a job"
PLACES = pytest.mark.parametrize("place", [IN_A_JOB, "as a person"])


@pytest.fixture(scope="session")
def uv():
    """The real uv: the one that `./run` named, or brought."""
    state = Path(os.environ.get("RUN_STATE") or ROOT / ".run")
    found = os.environ.get("UV") or shutil.which("uv") or str(state / "uv" / "bin" / "uv")
    assert Path(found).exists(), "./run brings it: call it once"
    return Path(found)


@pytest.fixture
def listener():
    """Who hears what is stolen."""
    found = Listener()
    yield found
    found.close()


@pytest.fixture
def pulled(tmp_path, listener, uv):
    """A checkout that somebody else wrote into."""
    return HostileCheckout(tmp_path, listener, uv)


@pytest.fixture
def where(pulled, place):
    """What a job of GitHub's sets, or nothing."""
    return {"RUNNER_TEMP": str(pulled.temp)} if place == IN_A_JOB else {}


def python_program(code):
    """A program of Python's that runs this code."""
    return f"#!{sys.executable} -I\n{code}\n"


def assert_refused(done, path):
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"run: {path} is committed, and would run in the place of what was reviewed" in done.stderr
    )


def assert_nothing_ran(pulled):
    assert pulled.listener.heard == []
    assert pulled.stolen() == []


def test_what_is_searched_for_would_be_found(pulled):
    """The tokens are really there, and what runs sends them: here it is the tool itself."""
    pulled.write("scripts/roost/__main__.py", pulled.listener.thief)
    pulled.commit()

    assert pulled.run("roost").returncode == 0
    assert all(token in pulled.listener.heard[0] for token in CANARIES.values())
    assert pulled.stolen() == ["sent"]


@PLACES
def test_a_pull_request_that_does_nothing_of_the_kind_runs(pulled, where):
    for _ in range(2):
        done = pulled.run("roost", **where)
        assert (done.returncode, done.stdout) == (0, "ours\n"), done.stderr
    assert_nothing_ran(pulled)


# ./run's own


@PLACES
def test_a_python_that_is_committed_as_if_it_had_been_set_up_is_not_run(pulled, where):
    python = pulled.write(".run/roost/bin/python", python_program(pulled.listener.thief))
    python.chmod(0o755)
    shutil.copy(pulled.root / "requirements/roost.txt", pulled.root / ".run/roost/installed.txt")
    pulled.commit()

    assert_refused(pulled.run("roost", **where), ".run/roost/bin/python")
    assert_nothing_ran(pulled)


def test_an_archive_of_it_is_not_believed_either(pulled):
    """Nothing says which of its files were committed, so none is taken that should not be."""
    python = pulled.write(".run/roost/bin/python", python_program(pulled.listener.thief))
    python.chmod(0o755)
    shutil.copy(pulled.root / "requirements/roost.txt", pulled.root / ".run/roost/installed.txt")
    shutil.rmtree(pulled.root / ".git")

    assert pulled.run("roost").stdout == "ours\n"
    assert_nothing_ran(pulled)


# uv's


def drop_a_pth(pulled):
    """Return the code that makes each later Python of the tool's environment run the thief first."""
    thief = f"import base64; exec(base64.b64decode({b64(pulled.listener.thief)!r}))"
    return (
        "import pathlib\n"
        f"for site in pathlib.Path({str(pulled.folder)!r}).glob('**/roost/lib/python*/site-packages'):\n"
        f"    (site / 'zz.pth').write_text({thief!r})\n"
    )


def b64(text):
    return base64.b64encode(text.encode()).decode()


@PLACES
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("uv.toml", '[pip]\nno-binary = ["victim"]\nfind-links = ["theirs"]\n'),
        ("pyproject.toml", '[tool.uv.pip]\nno-binary = ["victim"]\nfind-links = ["theirs"]\n'),
    ],
)
def test_a_configuration_of_uv_s_builds_nothing(pulled, where, path, text):
    """What builds a package is in no lock: it comes from wherever the configuration says."""
    backend(pulled.root / "theirs", drop_a_pth(pulled))
    pulled.write(path, text)
    pulled.commit()

    for _ in range(2):
        done = pulled.run("roost", **where)
        assert (done.returncode, done.stdout) == (0, "ours\n"), done.stderr
    assert_nothing_ran(pulled)
    assert not list(pulled.folder.rglob("zz.pth"))


def test_a_lock_that_has_no_wheel_is_not_built(pulled):
    [found] = pulled.wheels.glob("*.whl")
    found.unlink()
    backend(pulled.wheels / "theirs", drop_a_pth(pulled)).rename(
        pulled.wheels / "backend-1.0-py3-none-any.whl"
    )

    assert pulled.run("roost").returncode == 1
    assert_nothing_ran(pulled)


def test_a_configuration_above_the_images_of_the_local_fly_builds_nothing(pulled):
    """They are installed in the state of `./run`, which a person has in the checkout."""
    backend(pulled.root / "theirs", drop_a_pth(pulled))
    pulled.write(
        "uv.toml", f'[pip]\nno-binary = ["victim"]\nfind-links = ["{pulled.root}/theirs"]\n'
    )
    venv = pulled.root / ".run" / "images" / "roost"
    venv.parent.mkdir(parents=True)
    code = (
        "import asyncio, pathlib, sys; from localfly.images.venvs import make_venv\n"
        "folder, lock = map(pathlib.Path, sys.argv[1:])\n"
        "asyncio.run(make_venv(folder, lock, print))\n"
    )
    lock = str(pulled.root / "requirements/roost.txt")

    done = pulled.call([sys.executable, "-c", code, str(venv), lock], PYTHONPATH=str(SCRIPTS))

    assert done.returncode == 0, done.stdout + done.stderr
    [installed] = venv.glob("lib/*/site-packages/victim.py")
    assert "ours" in installed.read_text()
    assert not list(pulled.folder.rglob("zz.pth"))


# Python's


@PLACES
@pytest.mark.parametrize(
    "path",
    [
        f"scripts/roost/__pycache__/__main__.{sys.implementation.cache_tag}.pyc",
        "scripts/victim.pyc",
    ],
)
def test_bytecode_that_is_committed_does_not_run_in_the_place_of_what_was_reviewed(
    pulled, where, path
):
    """Python takes bytecode that says `unchecked` for the source beside it, and any for a module without one."""
    source = pulled.folder / "thief.py"
    source.write_text(pulled.listener.thief)
    (pulled.root / path).parent.mkdir(exist_ok=True)
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(pulled.root / path), invalidation_mode=unchecked)
    pulled.commit()

    assert_refused(pulled.run("roost", **where), path)
    assert_nothing_ran(pulled)


@pytest.mark.parametrize(
    "name",
    ["sitecustomize.py", "usercustomize.py", "victim.py", "roost.py", "json.py", "pyvenv.cfg"],
)
def test_a_module_where_it_is_called_is_not_imported(pulled, name):
    pulled.write(name, "home = /\n" if name == "pyvenv.cfg" else pulled.listener.thief)
    pulled.commit()

    assert pulled.run("roost", PYTHONPATH=".").stdout == "ours\n"
    assert_nothing_ran(pulled)


@pytest.mark.parametrize("name", ["python3", "git", "uv", "sh", "dirname"])
def test_a_program_where_it_is_called_is_not_run(pulled, name):
    pulled.write(name, python_program(pulled.listener.thief)).chmod(0o755)
    pulled.commit()

    done = pulled.run("roost", PATH=f":.:{pulled.environ['PATH']}")

    assert (done.returncode, done.stdout) == (0, "ours\n"), done.stderr
    assert_nothing_ran(pulled)


# Git's


def test_a_repository_in_the_environments_names_no_program(pulled):
    """Git takes a folder with HEAD, config, objects and refs for one; a token is in the process above."""
    spy = pulled.write("spy", python_program(pulled.listener.thief))
    spy.chmod(0o755)
    folder = pulled.root / "environments"
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    config = f"[core]\nrepositoryformatversion = 0\nbare = false\nworktree = {folder}\n"
    (folder / "config").write_text(f"{config}fsmonitor = {spy}\n")
    pulled.commit()
    code = (
        "import os, pathlib; from roost.operations.git import commit_of\n"
        "print(commit_of(os.environ, pathlib.Path('environments')))\n"
    )

    done = pulled.call([sys.executable, "-P", "-c", code], PYTHONPATH=str(SCRIPTS))

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 40  # the real one's
    assert_nothing_ran(pulled)


def test_attributes_and_links_to_other_repositories_bring_no_program(pulled):
    """Nothing that git may be told by a commit has it run anything, whatever the commit names."""
    pulled.write(".gitattributes", "* filter=theirs diff=theirs merge=theirs\n")
    pulled.write(
        ".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c env\n\tupdate = !env\n'
    )
    pulled.commit()

    assert pulled.run("roost").stdout == "ours\n"
    assert_nothing_ran(pulled)


# SOPS's


@pytest.mark.parametrize("suffix", ["yaml", "json", "env"])
def test_a_file_that_names_a_vault_sends_nobody_s_login_there(pulled, suffix):
    token = pulled.folder / "home" / ".vault-token"
    token.write_text(CANARIES["FLY_API_TOKEN"])
    path = encrypt(
        pulled.root / f"x.sops.{suffix}", {"env": "A=b\n"}.get(suffix, '{"A": "b"}'), age_key()
    )
    at = {
        "vault_address": pulled.listener.url,
        "engine_path": "transit",
        "key_name": "k",
        "enc": "x",
    }
    path.write_text(with_vault(path, {**at, "created_at": "2026-01-01T00:00:00Z"}))
    pulled.commit()
    code = (
        "import os, pathlib, sys; from roost.apply.sops import SopsFiles\n"
        "print(SopsFiles(pathlib.Path.cwd(), os.environ).value(sys.argv[1], 'A'))\n"
    )
    path_with_sops = f"{SOPS.parent}:{pulled.environ['PATH']}"

    done = pulled.call(
        [sys.executable, "-P", "-c", code, path.name],
        PYTHONPATH=str(SCRIPTS),
        PATH=path_with_sops,
        SOPS_AGE_KEY=age_key().private,
    )

    assert pulled.listener.heard == []
    assert "is encrypted for HashiCorp Vault, and Roost uses age keys alone" in done.stdout, (
        done.stderr
    )
    token.unlink()
    assert_nothing_ran(pulled)


def with_vault(path, vault):
    """Return a SOPS file that names a vault, too, in the file's own form."""
    text = path.read_text()
    if path.suffix == ".env":
        return text + "".join(f"sops_hc_vault__list_0__map_{k}={v}\n" for k, v in vault.items())
    if path.suffix == ".json":
        data = json.loads(text)
        return json.dumps({**data, "sops": {**data["sops"], "hc_vault": [vault]}})
    return text.replace("sops:\n", f"sops:\n    hc_vault: [{json.dumps(vault)}]\n")


# Nox's


@PLACES
def test_an_environment_of_a_session_that_is_committed_is_not_run(pulled, where):
    python = pulled.write(".nox/tests/bin/python", python_program(pulled.listener.thief))
    python.chmod(0o755)
    pulled.commit()

    assert_refused(pulled.run("tests", **where), ".nox/tests/bin/python")
    assert_nothing_ran(pulled)


@pytest.mark.slow
@PLACES
def test_a_session_runs_in_an_environment_that_is_not_the_checkout_s(pulled, where):
    """The real nox, from the index. It is there before git knows of it, as an earlier step could leave it."""
    for name in ("UV_OFFLINE", "UV_FIND_LINKS"):
        del pulled.environ[name]
    pulled.environ |= {
        n: os.environ[n] for n in ("SSL_CERT_FILE", "UV_DEFAULT_INDEX") if n in os.environ
    }
    shutil.copy(ROOT / "requirements/nox.txt", pulled.root / "requirements/nox.txt")
    begin = (ROOT / "noxfile.py").read_text().partition("@nox.session")[0]
    pulled.write(
        "noxfile.py",
        f"{begin}@nox.session\ndef tests(session):\n    session.run('python', '-c', 'print(1)')\n",
    )
    python = pulled.write(".nox/tests/bin/python", python_program(pulled.listener.thief))
    python.chmod(0o755)
    pulled.write(".nox/tests/pyvenv.cfg", f"home = {Path(sys.base_prefix, 'bin')}\nuv = 0.9.0\n")

    done = pulled.run("tests", **where)

    assert done.returncode == 0, done.stderr
    assert_nothing_ran(pulled)
