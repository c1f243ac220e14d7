"""Which changes leave the tool as it is: by the files of a merge, against what it was made from."""

from __future__ import annotations

import pytest

from roost.workflows.scope import is_light

LIGHT = [
    "flows/nightly/serve_flows.py",
    "flows/nightly/requirements.txt",
    "prefect/production.yaml",
    "environments/locks/staging.txt",
    *("environments/staging.yaml", "environments/demo.yml", "environments/_defaults.yaml"),
    *("production.sops.yaml", "secrets/a/b.sops.json", "x.sops.env", "x.sops.yml"),
    *("docs/github.md", "docs/decisions/0009-approval.md", "README.md", "LICENSE"),
]
HEAVY = [
    *("environments/environment.schema.json", "environments/x/y.yaml", "environments.yaml"),
    *("environments/locks/x/y.txt", "environments/locks/y.py", "deploy/locks/prefect-3.9.1.txt"),
    *("scripts/roost/cli/process.py", "deploy/Dockerfile", "run", ".github/workflows/plan.yml"),
    *("tests/unit/report/golden/comment.md", "scripts/localfly/README.md", "scripts/x.sops.py"),
    *("docs.py", "LICENSE.py", "pyproject.toml", ".sops.yaml/../run", "README.md\nrun"),
]


@pytest.mark.parametrize(("names", "light"), [(LIGHT, True), (HEAVY, False)])
def test_what_no_test_of_the_tool_reads_is_light(names, light):
    assert [name for name in names if is_light(name) is not light] == []


@pytest.fixture
def merged(repository, job, outputs):
    """Merge a change as GitHub does for a pull request, and return what the job puts out."""
    repository.write("staging")
    (repository.folder / "run").write_text("the tool\n")
    repository.commit()

    def merge(change, *, base="HEAD^1"):
        repository.git("checkout", "--quiet", "-b", "change")
        change()
        repository.commit()
        repository.git("checkout", "--quiet", "main")
        (repository.folder / "scripts").mkdir()
        (repository.folder / "scripts" / "new.py").write_text("what main got meanwhile\n")
        repository.commit()
        repository.git("merge", "--quiet", "--no-ff", "change")
        said = job("github", "scope", *(("--base", base) if base else ()))
        assert said.code == 0, said.err
        return outputs()["all"], said.out

    return merge


def test_one_line_of_an_environment_file_runs_no_test_of_the_tool(merged, repository):
    found = merged(lambda: repository.write("staging", machine={"memory_mb": 1024}))

    assert found == ("false", "Only environments, flows, secrets and documentation change.\n")


def test_a_file_of_the_tool_beside_it_runs_them_all(merged, repository):
    def change():
        repository.write("staging", machine={"memory_mb": 1024})
        (repository.folder / "run").write_text("another tool\n")

    assert merged(change) == ("true", "All checks run, because run changes.\n")


def test_a_file_of_the_tool_that_moves_among_the_documents_counts_by_where_it_was(
    merged, repository
):
    def change():
        (repository.folder / "docs").mkdir()
        repository.git("mv", "run", "docs/run")

    assert merged(change)[0] == "true"


@pytest.mark.parametrize("base", ["", "HEAD"])
def test_where_there_is_nothing_to_compare_all_runs(merged, repository, base):
    assert merged(lambda: repository.write("staging", prune=True), base=base)[0] == "true"


def test_what_cannot_be_compared_fails(job, repository):
    repository.commit()

    said = job("github", "scope", "--base", "a" * 40)

    assert (said.code, "fetch-depth: 0" in said.err) == (3, True)
