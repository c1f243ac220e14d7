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
    assert "--require-hashes" in installs[1]
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
