"""`./run` with stand-ins for Python and uv: what it says, what it sets up, and what it passes on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from helpers.checkout import OLD_PYTHON, PYTHON, UV, Checkout, write_program


@pytest.fixture
def bare(tmp_path):
    """A checkout on a computer without Python and uv."""
    return Checkout(tmp_path)


@pytest.fixture
def plain(bare):
    """A checkout on a computer with Python."""
    bare.put("python3", PYTHON)
    return bare


@pytest.fixture
def ready(plain):
    """A checkout on a computer with Python and uv."""
    plain.put("uv", UV)
    return plain


def assert_refused(done, *words):
    """One sentence on standard error, and nothing for a pipe."""
    assert (done.returncode, done.stdout) == (1, "")
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("run: ")
    assert all(word in sentence for word in words)


# What is missing


def test_no_python_is_told_in_a_sentence(bare):
    assert_refused(bare("up"), "there is no python3", "install Python 3.11 or later")


def test_a_python_that_is_too_old_is_told_with_its_version(bare):
    bare.put("python3", OLD_PYTHON)

    assert_refused(bare("up"), "Python 3.8.10 is too old", "PYTHON=/path/to/python3")


def test_a_python_without_venv_is_told_with_the_package_that_has_it(plain):
    assert_refused(plain("up", NO_VENV="1"), "this Python has no venv", "apt install python3-venv")


def test_a_python_without_venv_is_fine_where_uv_is(ready):
    assert ready("roost", NO_VENV="1").returncode == 0


def test_another_python_can_be_named(bare, tmp_path):
    bare.put("python3", OLD_PYTHON)
    write_program(tmp_path / "python4", PYTHON)
    bare.put("uv", UV)

    done = bare("roost", PYTHON=str(tmp_path / "python4"))

    assert done.returncode == 0
    assert f"--python {tmp_path / 'python4'} " in bare.calls[-2]


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",)])
def test_help_needs_nothing_and_installs_nothing(bare, arguments):
    done = bare(*arguments)

    assert (done.returncode, done.stderr) == (0, "")
    assert "./run up [ENV] [--exit]" in done.stdout
    assert "./run roost VERB" in done.stdout
    assert "set -eu" not in done.stdout
    assert not (bare.root / ".run").exists()


# Setting up


def test_uv_is_brought_by_python_s_own_venv_and_pip_once(plain):
    first = plain("roost")
    calls = plain.calls
    second = plain("roost")

    assert (first.returncode, second.returncode) == (0, 0)
    [pip] = [call for call in calls if call.startswith("pip")]
    assert "install" in pip
    assert "--only-binary :all:" in pip  # to build a package is to run its code
    assert f"--require-hashes -r {plain.root}/requirements/uv.txt" in pip
    assert "run: setting up uv" in first.stderr
    assert second.stderr == ""
    assert not [call for call in plain.calls if call.startswith(("pip", "uv"))]


def test_a_uv_that_cannot_be_installed_is_told_and_brought_the_next_time(plain):
    failed = plain("roost", PIP_FAILS="1")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1] == (
        "run: could not install uv; check that the package index can be reached, then run this again."
    )
    assert plain("roost").returncode == 0


def test_what_is_locked_is_installed_once_and_again_when_it_changes(ready):
    ready("roost")
    first = ready.calls
    ready("roost")
    again = ready.calls
    ready.lock("roost", "two")
    ready("roost")

    installs = [call for call in first if call.startswith("uv")]
    assert [call.split()[1:3] for call in installs] == [["venv", "--quiet"], ["pip", "sync"]]
    assert installs[1].endswith(f"{ready.root}/requirements/roost.txt")
    assert {"--require-hashes", "--no-build"} <= set(installs[1].split())
    assert not [call for call in again if call.startswith("uv")]
    assert [call for call in ready.calls if call.startswith("uv")] == installs


def test_an_install_that_fails_is_told_and_tried_again_the_next_time(ready):
    failed = ready("roost", UV_FAILS="1")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1].startswith(
        "run: could not install requirements/roost.txt;"
    )
    assert ready("roost").returncode == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"PIP_INDEX_URL": "https://index.test"}, "https://index.test"),
        (
            {"PIP_INDEX_URL": "https://index.test", "UV_DEFAULT_INDEX": "https://u.test"},
            "https://u.test",
        ),
        ({}, None),
    ],
)
def test_pip_s_index_is_uv_s_too_where_uv_is_told_none(ready, given, expected):
    ready("roost", **given)

    assert ready.seen.get("UV_DEFAULT_INDEX") == expected


# Passing on


def test_the_tool_gets_its_arguments_as_they_are_and_standard_output_alone(ready):
    done = ready("roost", "plan", "a b", "", "--json", "$HOME", "*")

    assert done.stdout.splitlines() == [
        *("-P", "-m", "roost"),
        *("plan", "a b", "", "--json", "$HOME", "*"),
    ]


def test_no_file_of_the_folder_it_is_called_in_runs_in_the_tool_s_place(ready, tmp_path):
    ready.stuff.joinpath("tool").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for folder, said in ((ready.root / "scripts", "ours"), (tmp_path, "theirs")):
        (folder / "roost").mkdir(parents=True)
        (folder / "roost" / "__main__.py").write_text(f"import json\nprint({said!r})\n")
    (tmp_path / "json.py").write_text("print('theirs')\n")
    ready.cwd = tmp_path

    assert ready("roost").stdout == "ours\n"


def test_the_tool_s_exit_code_is_that_of_run(ready):
    assert ready("roost", TOOL_EXIT="3").returncode == 3


def test_the_tool_finds_its_code_uv_and_the_local_fly_s_folders(ready):
    ready("roost")

    assert ready.seen["PYTHONPATH"] == f"{ready.root}/scripts"
    assert ready.seen["UV"] == f"{ready.bin}/uv"
    assert ready.seen["LOCALFLY_HOME"] == f"{ready.root}/.run/localfly"
    assert ready.seen["LOCALFLY_CACHE"] == f"{ready.root}/.run/images"
    assert ready.seen["UV_PYTHON_DOWNLOADS"] == "never"
    assert (ready.seen["UV_NO_CONFIG"], ready.seen["UV_NO_BUILD"]) == ("1", "1")


def test_folders_that_are_named_are_kept(ready):
    ready("roost", LOCALFLY_HOME="/elsewhere", LOCALFLY_CACHE="/cache")

    assert (ready.seen["LOCALFLY_HOME"], ready.seen["LOCALFLY_CACHE"]) == ("/elsewhere", "/cache")


def test_checkouts_can_share_what_is_set_up(ready, tmp_path):
    shared = tmp_path / "shared"

    done = ready("roost", RUN_STATE=str(shared))

    assert done.returncode == 0
    assert ready.seen["LOCALFLY_HOME"] == f"{shared}/localfly"
    assert (shared / "roost" / "installed.txt").exists()
    assert not (ready.root / ".run").exists()


def test_an_empty_name_of_a_folder_is_none(ready):
    ready("roost", RUN_STATE="")

    assert ready.seen["RUN_STATE"] == f"{ready.root}/.run"


def test_what_it_starts_is_told_where_things_are(ready, tmp_path):
    ready.cwd = tmp_path

    ready("roost", RUN_STATE="beside")

    assert ready.seen["RUN_STATE"] == f"{tmp_path}/beside"


# Nothing executable of the checkout's but what was reviewed


def test_in_a_job_what_is_set_up_is_outside_of_the_checkout_and_each_checkout_has_its_own(
    ready, tmp_path
):
    """`trusted/run` and `./run` of one job share nothing."""
    temp = tmp_path / "temp"
    trusted = ready.root / "trusted"
    (trusted / "requirements").mkdir(parents=True)
    for name in ("run", "requirements/roost.txt"):
        (trusted / name).write_bytes((ready.root / name).read_bytes())
    (trusted / "run").chmod(0o755)

    ready("roost", RUNNER_TEMP=str(temp))
    first = ready.seen["RUN_STATE"]
    ready.root = trusted
    ready("roost", RUNNER_TEMP=str(temp))

    assert {first, ready.seen["RUN_STATE"]} == {str(path) for path in temp.iterdir()}
    assert first != ready.seen["RUN_STATE"]
    assert not list(trusted.parent.rglob(".run"))


@pytest.mark.parametrize("environ", [{}, {"RUNNER_TEMP": "temp"}, {"RUN_STATE": "state"}])
@pytest.mark.parametrize(
    "path",
    [
        *(".run/roost/bin/python", ".RUN/roost/bin/python", ".run", ".nox/tests/bin/python"),
        *(".Nox", "scripts/roost/__pycache__/cli.cpython-311.pyc", "scripts/httpx.pyc"),
        *("__PYCACHE__/noxfile.cpython-311.PYC", "scripts/httpx.abi3.so"),
    ],
)
def test_what_is_committed_where_it_would_run_unseen_is_refused(ready, tmp_path, path, environ):
    ready.cwd = tmp_path
    ready.commit(path)

    done = ready("roost", **environ)

    remove = path.partition("/")[0] if path.startswith(".") else path
    assert_refused(done, f"{path} is committed", f"git rm -rf '{remove}'")
    assert not [call for call in ready.calls if call.startswith("uv")]


def test_a_link_that_is_committed_is_refused(ready):
    (ready.root / "theirs").mkdir()
    (ready.root / ".run").symlink_to("theirs")
    ready.git("add", "--force", ".run")

    assert_refused(ready("roost"), ".run is committed")


def test_a_repository_within_that_is_committed_is_refused(ready):
    blob = "0123456789012345678901234567890123456789"
    ready.git("update-index", "--add", "--cacheinfo", f"160000,{blob},.run/roost")

    assert_refused(ready("roost"), ".run/roost is committed")


def test_a_folder_that_is_named_within_the_checkout_is_looked_at_like_its_own(ready):
    ready.commit("state[1]/roost/bin/python")

    done = ready("roost", RUN_STATE=str(ready.root / "state[1]"))

    assert_refused(done, "state[1]/roost/bin/python is committed")


@pytest.mark.parametrize("folder", ["sub", "s[u]b *"])
def test_a_project_in_a_folder_of_a_repository_is_looked_at_there(ready, folder):
    whole, ready.root = ready.root, ready.root / folder
    (ready.root / "requirements").mkdir(parents=True)
    for name in ("run", "requirements/roost.txt"):
        (whole / name).rename(ready.root / name)
    ready.git("add", "--all", ".")
    assert ready("roost").returncode == 0

    ready.commit(".run/roost/bin/python")

    assert_refused(ready("roost"), ".run/roost/bin/python is committed")


def test_a_repository_that_is_committed_is_not_asked(ready):
    """Git takes a folder with HEAD, config, objects and refs for a repository, and runs what its config names."""
    whole, ready.root = ready.root, ready.root / "sub"
    ready.root.mkdir()
    subprocess.run(["git", "init", "-q", "--bare", ready.root], check=True)
    spy = write_program(ready.stuff / "spy", f"#!/bin/sh\n: >'{ready.stuff}/ran'\n")
    config = (
        f"[core]\nrepositoryformatversion = 0\nbare = false\nworktree = ..\nfsmonitor = {spy}\n"
    )
    (ready.root / "config").write_text(config)
    (ready.root / "requirements").mkdir()
    for name in ("run", "requirements/roost.txt"):
        (whole / name).rename(ready.root / name)
    subprocess.run(["git", "-C", whole, "add", "--all", "."], check=True)

    assert ready("roost").returncode == 0
    assert not (ready.stuff / "ran").exists()


def test_without_git_nothing_says_what_is_committed(ready):
    (ready.bin / "git").unlink()

    assert_refused(ready("roost"), "there is no git; install it")


def test_a_repository_that_git_cannot_read_is_refused(ready):
    (ready.root / ".git" / "HEAD").write_text("")

    assert_refused(ready("roost"), "git does not say what", "it says: fatal: not a git repository")


def test_a_repository_of_somebody_else_s_is_refused_with_what_git_says(ready):
    """As in a container whose user is another one."""
    git = "#!/bin/sh\necho \"fatal: detected dubious ownership in repository at '/x'\" >&2\nexit 128\n"
    (ready.bin / "git").unlink()
    ready.put("git", git)

    assert_refused(ready("roost"), "detected dubious ownership in repository at '/x'")


@pytest.mark.parametrize("committed", ["nothing", "something else"])
def test_where_nothing_says_which_files_came_with_the_others_no_program_of_theirs_runs(
    ready, committed
):
    """An archive that somebody unpacked, wherever that is."""
    if committed == "nothing":
        (ready.root / ".git").rename(ready.root / "git")
    else:
        ready.git("rm", "-q", "-r", "--cached", ".")
    python = ready.root / ".run" / "roost" / "bin" / "python"
    python.parent.mkdir(parents=True)
    write_program(python, "#!/bin/sh\necho theirs\n")
    lock = (ready.root / "requirements" / "roost.txt").read_bytes()
    (ready.root / ".run" / "roost" / "installed.txt").write_bytes(lock)

    done = ready("roost", "x")

    assert done.stdout.splitlines() == ["-P", "-m", "roost", "x"]
    assert ready.seen["RUN_STATE"].startswith(f"{ready.env['HOME']}/.cache/roost/")


def test_where_such_a_place_cannot_be_made_one_has_to_be_named(ready):
    (ready.root / ".git").rename(ready.root / "git")
    done = ready("roost", HOME="/dev/null")

    assert (done.returncode, done.stdout) == (1, "")
    assert "name another folder with RUN_STATE=/path/to/folder" in done.stderr


@pytest.mark.parametrize("path", [".:{bin}", ":{bin}:", "sub:{bin}"])
@pytest.mark.parametrize("name", ["git", "python3", "uv", "dirname", "sops"])
def test_no_program_of_the_folder_it_is_called_in_runs(ready, tmp_path, path, name):
    ready.cwd = tmp_path / "theirs"
    (ready.cwd / "sub").mkdir(parents=True)
    for folder in (ready.cwd, ready.cwd / "sub"):
        write_program(folder / name, f"#!/bin/sh\n: >'{ready.stuff}/ran'\n")

    done = ready("roost", "x", PATH=path.format(bin=ready.bin))

    assert done.stdout.splitlines() == ["-P", "-m", "roost", "x"]
    assert not (ready.stuff / "ran").exists()
    assert all(part.startswith("/") for part in ready.seen["PATH"].split(":"))


@pytest.mark.parametrize("session", ["roost", "tests"])
def test_what_would_have_shells_and_pythons_begin_with_a_file_is_not_passed_on(ready, session):
    ready(session, BASH_ENV="x", ENV="x", CDPATH="x", PYTHONHOME="", PYTHONPATH=".")

    assert not {"BASH_ENV", "ENV", "CDPATH", "PYTHONHOME"} & set(ready.seen)
    assert ready.seen.get("PYTHONPATH") in {None, f"{ready.root}/scripts"}


def test_no_file_of_the_folder_it_is_called_in_runs_while_uv_is_brought(plain, tmp_path):
    plain.cwd = tmp_path
    (tmp_path / "sitecustomize.py").write_text(f"open({str(plain.stuff / 'ran')!r}, 'w')\n")

    plain("roost", PYTHONPATH=".")

    assert not (plain.stuff / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tests", "-q", "a b"), ["--session", "tests", "--", "-q", "a b"]),
        (("--list",), ["--list"]),
    ],
)
def test_any_other_word_is_a_session_of_the_noxfile(ready, arguments, told):
    done = ready(*arguments)

    assert done.stdout.splitlines() == ["-f", f"{ready.root}/noxfile.py", *told]


def test_up_is_the_verb_itself_so_that_its_exit_code_is_too(ready):
    done = ready("up", "demo", "--exit")

    assert done.stdout.splitlines() == ["-P", "-m", "roost", "up", "demo", "--exit"]
    assert (ready.root / ".run" / "roost" / "installed.txt").exists()


# Where it runs


@pytest.mark.parametrize("home", ["", "/nonexistent", None], ids=["empty", "not there", "unset"])
def test_without_a_home_that_can_be_written_the_checkout_is_the_home(ready, home):
    del ready.env["HOME"]

    done = ready("roost", **({} if home is None else {"HOME": home}))

    assert done.returncode == 0
    assert ready.seen["HOME"] == f"{ready.root}/.run/home"
    assert (ready.root / ".run" / "home").is_dir()


def test_a_home_that_can_be_written_is_kept(ready):
    ready("roost")

    assert ready.seen["HOME"] == ready.env["HOME"]


def test_it_works_where_cd_would_go_elsewhere(ready, tmp_path):
    """CDPATH makes `cd` print, and look for a folder elsewhere first."""
    done = subprocess.run(
        ["a checkout/run", "roost", "x"],
        cwd=tmp_path,
        env={**ready.env, "CDPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines() == ["-P", "-m", "roost", "x"]
