"""What a rehearsal is made of: what it may know, what was given, and what the change is made to."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from helpers.environments import environment_data
from roost.commands.rehearse import base_context, find_base, kept, load_all
from roost.environment.model import AUTH_SECRET
from roost.errors import InvalidFilesError, UnknownEnvironmentError, UsageError
from roost.operations.context import PROJECT, Context
from roost.rehearsal.measurements import Revision
from roost.report.text import make_console

PLAIN = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_ALL": "C",
    "UV_INDEX_URL": "https://index",
    "https_proxy": "http://proxy",
    "LOCALFLY_CACHE": "/images",
    "PYTHONPATH": "scripts",
}
NOT_THEIRS = {
    "FLY_API_TOKEN": "t",
    "GITHUB_TOKEN": "t",
    "ACTIONS_RUNTIME_TOKEN": "t",
    "SOPS_AGE_KEY": "k",
    AUTH_SECRET: "a:b",
    "HOOK_URL": "h",
    "AWS_SECRET_ACCESS_KEY": "k",
    "LOCALFLY_HOME": "/mine",
    "FLY_FLAPS_BASE_URL": "http://127.0.0.1:1",
    "PREFECT_API_KEY": "p",
}


@pytest.fixture
def context(tmp_path):
    """A head with no file yet, and this project's deploy/."""
    folder = tmp_path / "head"
    folder.mkdir()
    environ = {**PLAIN, **NOT_THEIRS, "ROOST_ENVIRONMENTS": str(folder)}
    return Context(environ, PROJECT, make_console(io.StringIO()), make_console(io.StringIO()))


@pytest.fixture
def base(tmp_path):
    """A checkout of the base with no file yet."""
    folder = tmp_path / "base"
    (folder / "environments").mkdir(parents=True)
    (folder / "deploy").symlink_to(PROJECT / "deploy")
    return folder


def write(folder, name="staging", **fields):
    text = yaml.safe_dump(environment_data(**fields))
    (folder / f"{name}.yaml").write_text(text)


def found_base(context, base, **fields):
    """The base of a head with these fields."""
    write(context.environments, **fields)
    [file] = load_all(context, ["staging"])
    return find_base(Revision(context, file), base_context(context, base))


# What it may know


def test_nothing_that_may_be_anybodys_token_or_value_is_known(context):
    assert kept(context) == {**PLAIN, "ROOST_ENVIRONMENTS": str(context.environments)}


def test_images_are_kept_where_the_users_own_local_fly_keeps_them(context):
    environ = {"LOCALFLY_HOME": "/mine"}

    assert kept(replace(context, environ=environ)) == {"LOCALFLY_CACHE": "/mine/cache"}


# What was given


def test_faults_of_all_files_are_told_at_once(context):
    for name in ("one", "two"):
        (context.environments / f"{name}.yaml").write_text("nonsense: true\n")
    write(context.environments)

    with pytest.raises(InvalidFilesError) as raised:
        load_all(context, ["one", "staging", "two"])

    assert {Path(fault.path).stem for fault in raised.value.faults} == {"one", "two"}


def test_a_name_that_is_no_environment_is_told(context):
    with pytest.raises(UnknownEnvironmentError):
        load_all(context, ["nope"])


def test_each_is_played_once_in_the_order_given(context):
    for name in ("one", "two"):
        write(context.environments, name, app=f"acme-{name}")

    assert [file.name for file in load_all(context, ["two", "one", "two"])] == ["two", "one"]


def test_a_base_has_its_own_files_whatever_the_head_has(context, base):
    found = base_context(context, base)

    assert found.environments == base / "environments"
    assert found.deploy == base / "deploy"


@pytest.mark.parametrize("missing", ["environments", "deploy"])
def test_a_folder_that_is_no_checkout_is_told(context, base, missing):
    (base / missing).rename(base / "elsewhere")

    with pytest.raises(UsageError, match="is not a checkout"):
        base_context(context, base)


# What the change is made to


def test_without_a_base_there_is_none(context):
    write(context.environments)
    [file] = load_all(context, ["staging"])

    assert find_base(Revision(context, file), None).kind == "none"


def test_a_new_environment_has_none(context, base):
    assert found_base(context, base).kind == "none"


def test_a_changed_one_has_its_old_file(context, base):
    write(base / "environments", prefect={"version": "3.9.1"})

    found = found_base(context, base)

    assert found.kind == "created"
    assert found.side.file.environment.prefect.version == "3.9.1"


def test_one_that_asks_for_the_same_is_the_same_however_it_is_written(context, base):
    write(base / "environments", region="iad", protected=True)

    assert found_base(context, base, drift={"ignore": []}).kind == "same"


def test_another_image_of_the_same_version_is_a_change(context, base):
    (base / "deploy").unlink()
    for part in (
        "image.json",
        "Dockerfile",
        "server.py",
        "prices.yaml",
        "locks",
        "roost_machine",
        "roost_server",
    ):
        target = base / "deploy" / part
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(PROJECT / "deploy" / part)
    (base / "deploy" / "server.py").unlink()
    (base / "deploy" / "server.py").write_text("another one")
    write(base / "environments")

    assert found_base(context, base).kind == "created"


def test_another_app_is_no_base_and_that_is_noted(context, base):
    write(base / "environments", app="acme-old")

    found = found_base(context, base)

    assert (found.kind, found.note) == ("none", "The base has another app, acme-old.")


@pytest.mark.parametrize("fields", [{"nonsense": 1}, {"prefect": {"version": "3.0.1"}}])
def test_a_base_that_is_no_good_is_none_and_that_is_noted(context, base, fields):
    write(base / "environments", **fields)

    found = found_base(context, base)

    assert found.kind == "none"
    assert found.note.startswith("The base is not valid (")
