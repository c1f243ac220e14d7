"""Which environments a change concerns: by what the files mean, against a commit of real git."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.flow_folders import NIGHTLY, write_flow_folder
from helpers.server_locks import REDIS, lock_text, write_server_lock
from helpers.sops_files import age_key, encrypt
from roost.operations import context


@pytest.fixture
def base(repository):
    """A commit with two environments, one of them protected."""
    repository.write("staging")
    repository.write("production", protected=True)
    return repository.commit()


def changed(job, base):
    said = job("github", "changed", "--base", base, "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def test_nothing_but_comments_and_order_is_no_change(job, repository, base):
    path = repository.write("staging")
    path.write_text(f"# a comment\n{path.read_text()}\nx-note: 1\n")
    (repository.folder / "README.md").write_text("more")

    assert changed(job, base) == {
        "environments": [],
        "open": [],
        "protected": [],
        "removed": [],
    }


def test_who_is_told_and_whether_drift_is_healed_change_nothing_on_fly(job, repository, base):
    told = [{"url_secret": "NOTIFY_URL", "on": ["drift"]}]
    repository.write("staging", notify=told, drift="heal")
    repository.write("production", protected=True, notify=told)

    assert changed(job, base)["environments"] == []

    ignored = {"ignore": [{"field": "guest.memory_mb", "reason": "a test"}]}
    repository.write("staging", drift=ignored)
    assert changed(job, base)["environments"] == ["staging"]


def test_an_edited_file_is_a_change_and_the_protected_one_stands_apart(job, repository, base):
    repository.write("staging", machine={"memory_mb": 1024})
    repository.write("production", protected=True, machine={"memory_mb": 1024})

    found = changed(job, base)

    assert found["environments"] == ["production", "staging"]
    assert (found["open"], found["protected"]) == (["staging"], ["production"])


def test_taking_the_protection_away_is_a_change_of_what_is_protected(job, repository, base):
    repository.write("production")

    assert changed(job, base)["protected"] == ["production"]


def test_defaults_concern_every_environment_they_reach(job, repository, base):
    (repository.environments / "_defaults.yaml").write_text("prune: true\n")

    assert changed(job, base)["environments"] == ["production", "staging"]


def test_what_the_image_is_made_of_concerns_who_runs_it(job, repository, base):
    repository.write("foreign", prefect={"image": "prefecthq/prefect:3.8.8"})
    base = repository.commit()
    server = repository.folder / "deploy" / "server.py"
    server.write_text(server.read_text() + "\n# another byte\n")

    assert changed(job, base)["environments"] == ["production", "staging"]


def test_a_new_file_is_a_change_and_a_removed_one_is_told(job, repository, base):
    repository.write("demo")
    (repository.environments / "staging.yaml").unlink()

    found = changed(job, base)
    told = job("github", "changed", "--base", base).out

    assert (found["open"], found["removed"]) == (["demo"], ["staging"])
    assert "staging: its file is gone; its server stays until it is destroyed." in told


def test_without_anything_to_compare_with_every_environment_changes(job, repository, base):  # noqa: ARG001 - there is a commit
    for nothing in ("", "0" * 40):
        assert changed(job, nothing)["environments"] == ["production", "staging"]


def test_a_base_that_is_broken_hides_no_change(job, repository, base):  # noqa: ARG001 - a commit before
    path = repository.write("staging")
    good = path.read_text()
    path.write_text(good + "regoin: ams\n")
    broken = repository.commit()
    path.write_text(good)

    assert changed(job, broken)["environments"] == ["staging"]


def test_a_folder_serves_as_the_base_too(job, repository, base, tmp_path):
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "base"), base)
    repository.write("staging", machine={"memory_mb": 1024})

    assert changed(job, tmp_path / "base")["environments"] == ["staging"]


def test_outputs_are_what_matrices_read(job, repository, base, outputs):
    repository.write("staging", machine={"memory_mb": 1024})

    assert job("github", "changed", "--base", base).out == "staging\n"

    assert outputs() == {
        "environments": '["staging"]',
        "open": '["staging"]',
        "protected": "[]",
        "removed": "[]",
        "first": '["staging"]',
        "rest": "[]",
        "any": "true",
        "tell_open": "[]",
        "tell_protected": "[]",
    }


def test_who_is_told_that_a_deploy_waits_is_an_output_of_its_own(job, repository, base, outputs):
    told = [{"url_secret": "NOTIFY_URL", "on": ["approval"]}]
    repository.write("staging", machine={"memory_mb": 1024}, notify=told)

    job("github", "changed", "--base", base)

    assert (outputs()["tell_open"], outputs()["tell_protected"]) == ('["staging"]', "[]")


def test_the_first_push_of_the_template_deploys_none_of_its_examples(
    job, repository, outputs, summary
):
    """A repository made from it is pushed whole, and GitHub tells of no commit before."""
    for path in (Path(__file__).parents[3] / "environments").glob("*.yaml"):
        shutil.copy(path, repository.environments)
    repository.commit()

    said = job("github", "changed", "--base", "0" * 40)

    remove = "git rm environments/production.yaml environments/staging.yaml"
    assert said.code == 0
    assert outputs()["any"] == "false"
    assert {outputs()[name] for name in ("environments", "open", "protected")} == {"[]"}
    assert f"are ignored. Remove them: `{remove}`; or choose another `app` in them." in said.out
    assert f"`{remove}`" in summary()


def test_an_example_leaves_no_server_and_becomes_one_with_another_app(job, repository):
    repository.write("staging", app="acme-prefect-staging")
    repository.write("production", app="acme-prefect")
    base = repository.commit()
    (repository.environments / "staging.yaml").unlink()
    repository.write("production", app="ours")

    found = changed(job, base)

    assert (found["environments"], found["removed"]) == (["production"], [])


def test_one_that_is_named_is_taken_changed_or_not(job, repository, base, outputs):  # noqa: ARG001 - files to name
    assert job("github", "changed", "--environment", "production").code == 0

    assert (outputs()["open"], outputs()["protected"]) == ("[]", '["production"]')


@pytest.mark.parametrize("base", ["nonsense", "--output=x", "-", "HEAD~99"])
def test_a_commit_that_is_not_there_is_told(job, repository, base):
    repository.write("staging")
    repository.commit()

    said = job("github", "changed", f"--base={base}")

    assert said.code == 3
    assert "is neither a folder nor a commit here" in said.err
    assert "fetch-depth: 0" in said.err


def test_faults_stand_on_their_lines_ten_at_most_and_all_in_the_summary(job, repository, summary):
    path = repository.write("staging")
    path.write_text(path.read_text() + "".join(f"typo{n}: 1\n" for n in range(12)))

    said = job("validate")

    lines = [line for line in said.out.splitlines() if line.startswith("::error ")]
    first = path.read_text().splitlines().index("typo0: 1") + 1
    assert said.code == 3
    assert len(lines) == 10
    assert f"file=environments/staging.yaml,line={first}," in lines[0]
    assert "## 12 faults in the environment files" in summary()
    assert "10 of them are shown on their lines, 2 only here." in summary()
    assert summary().count("typo") >= 12


def test_any_other_failure_is_one_annotation_with_its_word(job):
    said = job("show", "nothing")

    assert said.code == 3
    assert next(line for line in said.out.splitlines() if line.startswith("::")).startswith(
        "::error title=unknown-environment::"
    )


# More environments than GitHub starts jobs for, and commits that are not here


@pytest.fixture
def many(repository):
    """A repository with 300 environments, every tenth of them protected."""
    text = repository.write("e000").read_text()
    for number in range(300):
        name = f"e{number:03}"
        more = "protected: true\n" if number % 10 == 0 else ""
        path = repository.environments / f"{name}.yaml"
        path.write_text(text.replace("acme-e000", f"acme-{name}") + more)
    repository.commit()
    return repository


@pytest.mark.usefixtures("many")
def test_no_list_that_becomes_a_matrix_is_longer_than_github_allows(job, outputs, summary):
    """GitHub would fail the workflow with a word of its own; the jobs that follow name those left."""
    said = job("github", "changed")

    found = {name: json.loads(value) for name, value in outputs().items()}
    assert said.code == 0, said.err
    assert [len(found[name]) for name in ("environments", "first", "rest")] == [300, 256, 44]
    assert [len(found[name]) for name in ("open", "protected")] == [256, 30]
    assert found["first"] + found["rest"] == found["environments"]
    assert "300 environments change, and GitHub starts at most 256 jobs" in summary()
    # Whoever asks for JSON asks for all.
    assert len(json.loads(job("github", "changed", "--json").out)["open"]) == 270


def test_those_without_a_job_are_named_with_the_command_that_starts_one_each(job, monkeypatch):
    monkeypatch.setenv("REST", json.dumps(["demo", "staging"]))

    said = job("github", "rest", "secrets")

    loop = "for name in demo staging; do gh workflow run secrets.yml -f environment=$name; done"
    assert said.code == 1
    assert f"this run left 2 environments. Start a run for each: `{loop}`" in said.out


def test_a_commit_that_a_forced_push_left_behind_hides_no_change(
    job, repository, base, outputs, summary, monkeypatch, tmp_path
):
    """GitHub names the commit that the branch stood at, and no checkout of the branch has it."""
    repository.write("production", machine={"memory_mb": 1024})
    gone = repository.commit("about to be replaced")
    repository.git("reset", "--quiet", "--hard", base)
    repository.write("production")
    repository.commit("forced")
    checkout = tmp_path / "runner"
    repository.git("clone", "--quiet", "--no-local", str(repository.folder), str(checkout))
    monkeypatch.setattr(context, "PROJECT", checkout)

    said = job("github", "changed", "--base", gone)

    assert said.code == 0, said.err
    # Taking the protection away may have been a part of it, so each needs what a protected one needs.
    assert (outputs()["open"], outputs()["protected"]) == ("[]", '["production", "staging"]')
    assert "is not in this checkout, as after a forced push" in said.out
    assert "is not in this checkout, as after a forced push" in summary()


# Pull requests that get no plan


def pulled(monkeypatch, tmp_path, *, repo="acme/infra", actor="ada"):
    """Have the job be of a pull request from a repository, started by somebody."""
    event = {"pull_request": {"head": {"repo": {"full_name": repo} if repo else None}}}
    (tmp_path / "event").write_text(json.dumps(event))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event"))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    monkeypatch.setenv("GITHUB_ACTOR", actor)


@pytest.mark.parametrize(
    ("repo", "actor", "told"),
    [
        ("stranger/infra", "mallory", "GitHub gives no secrets to runs of a fork"),
        ("", "mallory", "GitHub gives no secrets to runs of a fork"),
        ("acme/infra", "dependabot[bot]", "close and reopen this pull request, or push a commit"),
    ],
)
def test_who_gets_no_plan_is_told_why_and_how_to_get_one(
    job, repository, base, summary, monkeypatch, tmp_path, repo, actor, told
):
    pulled(monkeypatch, tmp_path, repo=repo, actor=actor)
    repository.write("staging", machine={"memory_mb": 1024})

    assert job("github", "changed", "--base", base).code == 0

    assert told in summary()
    assert "there is no plan and no comment" in summary()


def test_a_person_s_push_to_a_branch_of_dependabot_s_is_planned_as_any(
    job, repository, base, summary, monkeypatch, tmp_path
):
    pulled(monkeypatch, tmp_path, actor="ada")
    repository.write("staging", machine={"memory_mb": 1024})

    assert job("github", "changed", "--base", base).code == 0

    assert "no plan" not in summary()


# Extra packages of the server


def test_the_lock_of_extras_alone_concerns_its_environment(job, repository):
    for name in ("staging", "production"):
        repository.write(name, REDIS)
        write_server_lock(repository.environments, name, lock_text("prefect-redis"))
    before = repository.commit()
    write_server_lock(repository.environments, "staging", lock_text("prefect-redis", hvac="2.4.0"))

    assert changed(job, before)["environments"] == ["staging"]


def test_a_lock_that_no_environment_has_is_no_change(job, repository, base):
    write_server_lock(repository.environments, "staging", lock_text("prefect-redis"))

    assert changed(job, base)["environments"] == []


def test_a_base_whose_lock_does_not_fit_hides_no_change(job, repository):
    repository.write("staging", REDIS)
    before = repository.commit()
    write_server_lock(repository.environments, "staging", lock_text("prefect-redis"))

    assert changed(job, before)["environments"] == ["staging"]


# Flow servers


NIGHT = {"prefect": {"version": "3.8.8"}, "flows": [NIGHTLY]}


@pytest.fixture
def flowing(repository):
    """A commit with an environment that has a flow server, and one that has none."""
    write_flow_folder(repository.folder)
    repository.write("staging", NIGHT)
    repository.write("production", protected=True)
    return repository.commit()


@pytest.mark.parametrize("name", ["serve_flows.py", "requirements.txt", "lib/a_new_one.py"])
def test_a_folder_of_flows_concerns_the_environment_that_runs_it(job, repository, flowing, name):
    path = repository.folder / "flows/nightly" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{path.read_text() if path.exists() else ''}# more\n")

    assert changed(job, flowing)["environments"] == ["staging"]


def test_what_no_image_of_flows_has_is_no_change(job, repository, flowing):
    for name in ("flows/other/serve_flows.py", "flows/nightly/.env", "flows/README.md"):
        path = repository.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")

    assert changed(job, flowing)["environments"] == []


def test_roosts_part_of_the_image_of_flows_concerns_who_has_flow_servers(job, repository, flowing):
    path = repository.folder / "deploy/flows/flow_server.py"
    path.write_text(f"{path.read_text()}\n# another byte\n")

    assert changed(job, flowing)["environments"] == ["staging"]


def test_a_sops_file_of_a_flow_server_alone_concerns_its_environment(job, repository, flowing):  # noqa: ARG001 - there is a commit
    secret = {"name": "HOOK", "from": {"sops": "flows.sops.yaml"}}
    repository.write("staging", NIGHT, flows=[{**NIGHTLY, "secrets": [secret]}])
    key = age_key()
    encrypt(repository.folder / "flows.sops.yaml", "HOOK: one\n", key)
    before = repository.commit()
    encrypt(repository.folder / "flows.sops.yaml", "HOOK: two\n", key)

    assert changed(job, before)["environments"] == ["staging"]


def test_a_flow_server_of_what_is_protected_is_deployed_with_it(job, repository, flowing):  # noqa: ARG001 - there is a commit
    repository.write("production", NIGHT, protected=True)
    before = repository.commit()
    (repository.folder / "flows/nightly/serve_flows.py").write_text("print(2)\n")

    found = changed(job, before)

    assert (found["open"], found["protected"]) == (["staging"], ["production"])


def test_a_flow_server_that_is_taken_out_of_its_file_is_told(job, repository, flowing):
    repository.write("staging")

    found = changed(job, flowing)
    told = job("github", "changed", "--base", flowing).out

    assert (found["open"], found["removed"]) == (["staging"], ["staging.nightly"])
    assert "staging.nightly: it is no longer in its file; its app stays until" in told


def test_a_base_whose_folder_of_flows_is_broken_hides_no_change(job, repository, flowing):  # noqa: ARG001 - there is a commit
    link = repository.folder / "flows/nightly/link"
    link.symlink_to("../../environments")
    broken = repository.commit()
    link.unlink()

    assert changed(job, broken)["environments"] == ["staging"]


def test_a_folder_of_flows_that_cannot_be_used_is_a_fault_with_its_name(job, repository, flowing):
    (repository.folder / "flows/nightly/link").symlink_to("../../environments")

    said = job("github", "changed", "--base", flowing)

    assert said.code == 3
    assert "the folder of staging.nightly, flows/nightly, has the link link" in said.err


# Prefect's objects


OBJECTS = "prefect/staging.yaml"


@pytest.fixture
def with_objects(repository):
    """A commit with an environment that names a file of objects, and one that names none."""
    path = repository.folder / OBJECTS
    path.parent.mkdir()
    path.write_text("variables: [{name: region, value: eu}]\n")
    repository.write("staging", {"prefect": {"version": "3.8.8", "objects": OBJECTS}})
    repository.write("production", protected=True)
    return repository.commit()


def test_a_file_of_objects_alone_concerns_the_environment_that_names_it(
    job, repository, with_objects
):
    (repository.folder / OBJECTS).write_text("variables: [{name: region, value: us}]\n")

    assert changed(job, with_objects)["environments"] == ["staging"]


def test_a_file_of_objects_that_only_reads_differently_is_no_change(job, repository, with_objects):
    (repository.folder / OBJECTS).write_text("# eu\nvariables:\n  - name: region\n    value: eu\n")

    assert changed(job, with_objects)["environments"] == []
