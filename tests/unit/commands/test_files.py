"""validate, show and schema: what they print of files, for people and for scripts."""

from __future__ import annotations

import json

import pytest
import yaml
from rich.console import Console

from roost.commands import files
from roost.environment.load import load_files
from roost.environment.model import AUTH_SECRET
from roost.environment.schema import render_schema
from roost.errors import ExitCode
from roost.operations.context import PROJECT, Context


def test_validate_counts_what_is_good(roost, tmp_path):
    said = roost("validate", tmp_path)

    assert (said.code, said.out, said.err) == (0, "1 environment valid.\n", "")


def test_validate_as_json_names_what_is_good(roost):
    said = roost("validate", "--json")

    assert json.loads(said.out) == {"valid": ["staging"], "faults": []}


def test_show_prints_an_environment_that_means_the_same(roost, tmp_path):
    said = roost("show", "staging")
    (tmp_path / "staging.yaml").write_text(said.out)

    assert roost("show", "staging").out == said.out
    assert load_files([tmp_path]).faults == ()


def test_show_writes_every_default_out_and_the_image(roost, tmp_path):
    said = roost("show", "staging")

    comments = [line for line in said.out.splitlines() if line.startswith("#")]
    data = yaml.safe_load(said.out)
    assert comments[0] == f"# {tmp_path / 'staging.yaml'}"
    assert comments[1].startswith("# image: registry.fly.io/acme-prefect:prefect-3.8.8-")
    assert data["scaling"]["idle_after"]
    assert data["secrets"] == [AUTH_SECRET]


def test_show_as_json_is_the_same_with_the_image(roost):
    text, document = (
        roost("show", "staging").out,
        json.loads(roost("show", "staging", "--json").out),
    )

    image = document.pop("x-image")
    assert document.pop("x-environment") == "staging"
    assert document == yaml.safe_load(text)
    assert f"# image: {image}\n" in text


@pytest.mark.parametrize("verb", ["validate", "show"])
def test_a_version_without_a_lock_is_a_fault_of_the_file(roost, rewrite, tmp_path, verb):
    rewrite(prefect={"version": "3.99.0"})

    said = roost(verb, str(tmp_path / "staging.yaml") if verb == "validate" else "staging")

    assert said.code == 3
    assert "there is no lock for Prefect 3.99.0, only for" in said.err
    assert "`./run lock 3.99.0`" in said.err


def test_show_is_as_wide_as_its_longest_line(roost, rewrite):
    """A pipe must not get a value cut in two."""
    long = "x" * 500
    rewrite(prefect={"settings": {"PREFECT_LOGGING_FORMATTERS_STANDARD_FORMAT": long}})

    assert long in roost("show", "staging").out


# Schema


@pytest.fixture
def project(tmp_path):
    """A project whose committed schema is to be looked at."""
    (tmp_path / "environments").mkdir()
    return tmp_path / "environments" / "environment.schema.json"


def call_schema(project, *, write=False, check=False):
    console = Console(quiet=True)
    context = Context({}, project.parents[1], out=console, progress=console)
    return files.schema(context, write=write, check=check)


def test_schema_prints_what_is_committed(roost):
    committed = (PROJECT / "environments" / "environment.schema.json").read_text()

    assert roost("schema").out == committed == render_schema()
    assert roost("schema", "--check").code == 0


def test_a_stale_schema_is_a_change_until_it_is_written(project):
    project.write_text("{}")

    assert call_schema(project, check=True) is ExitCode.CHANGES
    assert call_schema(project, write=True) is ExitCode.DONE
    assert call_schema(project, check=True) is ExitCode.DONE


def test_a_schema_that_is_missing_is_stale(project):
    assert call_schema(project, check=True) is ExitCode.CHANGES
    assert not project.exists()
