"""init: the file it writes, what it asks, and the commands it shows or runs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.environments import environment_data
from helpers.fake_programs import FLY_TOKEN, FakePrograms, on_a_terminal
from helpers.roost_here import RoostHere
from roost.environment.load import load_environment
from roost.environment.model import AUTH_SECRET

FLAGS = ("--environment", "demo", "--app", "my-prefect", "--region", "ams", "--yes")
GIT = Path(shutil.which("git") or "git")
ONLY_MAIN = {"protected_branches": False, "custom_branch_policies": True}


@pytest.fixture
def repository(tmp_path):
    """A checkout without environments."""
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "repository" / "environments").mkdir()
    return tmp_path / "repository"


@pytest.fixture
def folder(repository):
    return repository / "environments"


@pytest.fixture
def roost(folder, capsys, monkeypatch):
    """The command line, on a computer without fly and gh, where nobody can be asked."""
    command = RoostHere(folder, capsys, monkeypatch)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    return command


@pytest.fixture
def programs(tmp_path, monkeypatch, roost):  # noqa: ARG001 - which empties PATH first
    found = FakePrograms(tmp_path / "bin", "fly", "gh")
    monkeypatch.setenv("PATH", str(found.folder))
    return found


def test_flags_alone_write_a_file_that_loads_and_say_what_comes_next(roost, folder):
    said = roost("init", *FLAGS)

    assert said.code == 0
    environment = load_environment("demo", folder).environment
    assert (environment.app, environment.region) == ("my-prefect", "ams")
    assert (environment.organization, environment.protected) == ("personal", False)
    assert [secret.name for secret in environment.secrets] == [AUTH_SECRET]
    text = (folder / "demo.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=environment.schema.json\n")
    assert f"Wrote {folder / 'demo.yaml'}" in said.out
    assert "./run roost doctor demo" in said.out
    assert stat.S_IMODE((folder / "demo.yaml").stat().st_mode) == 0o644
    assert [path.name for path in folder.iterdir()] == ["demo.yaml"]


def test_every_flag_counts(roost, folder):
    said = roost(
        *("init", *FLAGS, "--organization", "acme", "--protected", "--size", "performance-1x"),
        *("--memory", "4096", "--backend", "postgres"),
    )

    assert said.code == 0, said.err
    environment = load_environment("demo", folder).environment
    assert (environment.organization, environment.protected) == ("acme", True)
    assert (environment.machine.size, environment.machine.memory_mb) == ("performance-1x", 4096)
    assert environment.scaling.autostop == "stop"  # above 2 GB nothing is suspended
    assert environment.database.backend == "postgres"
    assert [secret.name for secret in environment.secrets] == [AUTH_SECRET, "DATABASE_URL"]
    assert "gh secret set DATABASE_URL --env demo" in said.out


def test_what_the_defaults_of_the_folder_say_is_neither_repeated_nor_lost(roost, folder):
    defaults = {"organization": "acme", "secrets": [AUTH_SECRET, "SLACK_HOOK"]}
    (folder / "_defaults.yaml").write_text(yaml.safe_dump(defaults))

    roost("init", *FLAGS)
    roost("init", *FLAGS, "--environment", "two", "--app", "other", "--backend", "postgres")

    assert "secrets:" not in (folder / "demo.yaml").read_text()
    demo, two = (load_environment(name, folder).environment for name in ("demo", "two"))
    assert demo.organization == "acme"
    names = [AUTH_SECRET, "SLACK_HOOK", "DATABASE_URL"]
    assert [secret.name for secret in two.secrets] == names


@pytest.mark.parametrize("app", ["123", "1e5", "no", "off", "0x1f", "null", "a-", "true"])
def test_a_name_that_yaml_may_take_for_something_else_stays_a_name(roost, folder, app):
    said = roost("init", "--environment", "demo", "--region", "ams", "--yes", "--app", app)

    if said.code == 0:
        assert load_environment("demo", folder).environment.app == app
        assert yaml.safe_load((folder / "demo.yaml").read_text())["app"] == app
    else:
        assert "app must be 2 to 63 lower-case letters" in said.err


# What is not taken


def test_where_nobody_can_be_asked_all_that_is_missing_is_named(roost, folder):
    said = roost("init", "--app", "my-prefect")

    assert (said.code, said.out) == (3, "")
    assert "error [usage]: There is no terminal to ask, and these are missing: --environment, " in (
        said.err
    )
    for flag in ("--organization", "--region", "--protected or --no-protected", "--size"):
        assert flag in said.err
    assert "--app" not in said.err
    assert list(folder.iterdir()) == []

    said = roost("init", "--app", "my-prefect", "--yes")
    assert "these are missing: --environment, --region. Give them.\n" in said.err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--app", "My_App"], "--app: app must be 2 to 63 lower-case letters, digits and dashes"),
        (["--app", "a\nprotected: true"], "--app: app must be 2 to 63 lower-case letters"),
        (["--app", "acme-prefect"], "--app: acme-prefect is the example's; choose a name of your"),
        (["--region", "mars"], "--region: region must be one of ams, arn,"),
        (["--organization", "Acme Inc"], "--organization: organization must be the organization"),
        (["--size", "huge"], "--size: size must be one of shared-cpu-1x"),
        (["--memory", "300"], "--memory: memory_mb must be a multiple of 256"),
        (["--memory", "lots"], "--memory: memory_mb must be a whole number"),
        (["--memory", "256"], "--memory: a Prefect server needs about 200 MB"),
        (["--memory", "4096"], "--memory: shared-cpu-1x takes 256 to 2048 MB"),
        (["--backend", "mysql"], "--backend: backend must be sqlite or postgres, found mysql"),
        (
            ["--environment", "Demo"],
            "--environment: Demo is not an environment name; use lower-case letters",
        ),
        (
            ["--environment", "../x"],
            "--environment: ../x is not an environment name; use lower-case letters",
        ),
        (
            ["--environment", "plan"],
            "--environment: the name plan is reserved: GitHub's environment plan",
        ),
        (["--environment", "pull-requests"], "--environment: the name pull-requests is reserved"),
        (["--owner", "anna"], "--owner: write a GitHub name with its @"),
    ],
)
def test_a_flag_that_breaks_a_rule_of_the_file_is_told_and_nothing_is_written(
    roost, folder, flags, told
):
    said = roost("init", *FLAGS, *flags)

    assert (said.code, said.out) == (3, "")
    assert f"error [usage]: {told}" in said.err
    assert "Nothing was written." in said.err
    assert list(folder.iterdir()) == []


def test_a_file_that_is_there_is_never_overwritten(roost, folder):
    (folder / "demo.yaml").write_text("mine")

    said = roost("init", *FLAGS)

    assert said.code == 3
    assert "demo.yaml exists already and is never overwritten." in said.err
    assert (folder / "demo.yaml").read_text() == "mine"


def test_an_app_of_another_file_is_refused_and_the_new_file_is_gone_again(roost, folder):
    data = environment_data(app="my-prefect")
    (folder / "first.yaml").write_text(yaml.safe_dump(data))

    said = roost("init", *FLAGS)

    assert said.code == 3
    assert "the app my-prefect is also that of" in said.err
    assert [path.name for path in folder.iterdir()] == ["first.yaml"]


def test_defaults_with_a_fault_are_told_before_anything_is_asked(roost, folder):
    (folder / "_defaults.yaml").write_text("a: [\n")

    said = roost("init", *FLAGS)

    assert said.code == 3
    assert "_defaults.yaml:" in said.err
    assert not (folder / "demo.yaml").exists()


# Who reviews


def test_what_needs_an_owner_gets_one_and_the_rest_stays(roost, repository):
    owners = repository / ".github" / "CODEOWNERS"
    owners.parent.mkdir()
    owners.write_text("# ours\n/docs/ @acme/writers\n/.github/ @your-organization/platform")

    roost("init", *FLAGS, "--protected", "--owner", "@acme/ops")

    assert owners.read_text().splitlines()[1:] == [
        *("* @acme/ops", "", "# ours", "/docs/ @acme/writers", "/.github/ @acme/ops")
    ]


def test_without_a_name_the_owner_is_who_is_known(roost, repository, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "anna/infra")
    roost("init", *FLAGS)
    owners = (repository / ".github" / "CODEOWNERS").read_text()
    assert "* @anna\n" in owners
    assert "/environments/demo.yaml\n/environments/demo.yml\n" in owners  # it is not protected

    monkeypatch.setenv("GITHUB_REPOSITORY", "else/infra")
    roost("init", *FLAGS, "--environment", "two", "--app", "other-app", "--protected")
    assert (repository / ".github" / "CODEOWNERS").read_text() == owners
    roost("init", *FLAGS, "--environment", "three", "--app", "third-app")
    free = "/environments/demo.yml\n"
    assert (repository / ".github" / "CODEOWNERS").read_text() == owners.replace(
        free, f"{free}/environments/three.yaml\n/environments/three.yml\n"
    )


def test_the_file_of_owners_that_github_reads_is_the_one_that_is_changed(roost, repository):
    """Another one in a place that counts before it would take all of it away."""
    (repository / "CODEOWNERS").write_text("/docs/ @acme/writers\n")

    roost("init", *FLAGS, "--owner", "@acme/ops")

    assert not (repository / ".github").exists()
    assert "* @acme/ops\n" in (repository / "CODEOWNERS").read_text()


def test_where_nobody_is_known_nothing_is_made_up(roost, repository):
    said = roost("init", *FLAGS)

    assert said.code == 0
    assert "write a person or a team of GitHub into .github/CODEOWNERS" in said.err
    assert "./run roost doctor demo" in said.err
    assert not (repository / ".github").exists()


@pytest.fixture
def origin(repository, roost, monkeypatch):  # noqa: ARG001 - which empties PATH first
    """Let `origin` lead somewhere; git is on this computer."""
    monkeypatch.setenv("PATH", str(GIT.parent))

    def lead(url):
        for words in (["init", "--quiet"], ["remote", "add", "origin", url]):
            subprocess.run([GIT, *words], cwd=repository, check=True)

    return lead


@pytest.mark.parametrize(
    "url",
    [
        *("/tmp/x/origin.git", "../acme/infra", "file:///tmp/x/infra", "./a:b/c", "C:/acme/infra"),
        "https://gitlab.example/group/sub/infra",
    ],
)
def test_an_origin_that_is_no_owner_s_repository_gives_no_owner(roost, repository, origin, url):
    """A folder's name is nobody's, and GitHub would ignore the line or take it for somebody's."""
    origin(url)

    said = roost("init", *FLAGS)

    assert said.code == 0, said.err
    assert "Nobody reviews changes of servers yet" in said.err
    assert not (repository / ".github").exists()


@pytest.mark.parametrize(
    "url",
    [
        *("https://github.com/acme/infra.git", "https://x:token@github.com/acme/infra/"),
        *("git@github.com:acme/infra.git", "github.com-work:acme/infra"),
        *("ssh://git@github.example:22/acme/infra", "git://github.com/acme/infra"),
    ],
)
def test_an_origin_with_a_host_gives_the_owner_and_says_what_github_takes(
    roost, repository, origin, url
):
    origin(url)

    said = roost("init", *FLAGS)

    assert said.code == 0, said.err
    assert "* @acme\n" in (repository / ".github" / "CODEOWNERS").read_text()
    assert "GitHub takes only people and teams as code owners" in said.err
    assert "if it is an organization, write one of its teams, such as @acme/platform" in said.err


def test_who_is_named_is_no_organization_for_all_that_is_known(roost):
    said = roost("init", *FLAGS, "--owner", "@acme/ops")

    assert "if it is an organization" not in said.err


def test_the_template_s_examples_are_named(roost, folder):
    data = environment_data(app="acme-prefect-staging")
    (folder / "staging.yaml").write_text(yaml.safe_dump(data))

    said = roost("init", *FLAGS)

    assert f"git rm {folder / 'staging.yaml'}" in said.err


# Commands


def test_commands_are_shown_with_tokens_that_never_stand_in_them(roost):
    said = roost("init", *FLAGS, "--protected", "--run")

    assert said.code == 0
    assert "Nothing is run, because there is no fly and no gh here." in said.err
    token = "fly tokens create deploy -a my-prefect -n roost-demo -x 720h"
    for line in (
        "fly apps create my-prefect --org personal",
        f"{token} | gh secret set FLY_API_TOKEN --env demo",
        "gh secret set PREFECT_SERVER_API_AUTH_STRING --env demo",
        "fly tokens create readonly personal -n roost-plan -x 720h | gh secret set FLY_API_TOKEN --env plan",
        "gh api -X POST 'repos/{owner}/{repo}/rulesets' --input .github/rulesets/main.json",
        "gh api -X POST 'repos/{owner}/{repo}/rulesets' --input .github/rulesets/review.json",
        (
            "gh api -X PUT 'repos/{owner}/{repo}/actions/permissions/workflow' "
            "-f default_workflow_permissions=read -F can_approve_pull_request_reviews=false"
        ),
    ):
        assert f"\n{line}\n" in said.out
    assert "reviewers" in said.out


def test_the_app_that_opens_pull_requests_is_explained_and_nobody_has_to_have_one(
    roost, monkeypatch
):
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/infra")

    said = roost("init", *FLAGS)

    _, found, told = said.out.partition("Optional, once: a GitHub App that opens")
    assert found
    assert "https://github.com/organizations/acme/settings/apps/new?name=roost-acme&" in told
    assert "gh secret set ROOST_APP_PRIVATE_KEY --env pull-requests < KEY.pem" in told


def test_run_runs_them_where_the_repository_is_and_hands_the_token_over(
    roost, programs, repository
):
    said = roost("init", *FLAGS, "--run")

    assert said.code == 0, said.err
    words = [call["words"] for call in programs.calls]
    assert words[0] == "fly apps create my-prefect --org personal"
    assert (
        json.loads(programs.given("gh api -X PUT repos/{owner}/{repo}/environments/demo"))[
            "deployment_branch_policy"
        ]
        == ONLY_MAIN
    )
    for name in ("demo", "plan"):
        assert programs.given(f"gh secret set FLY_API_TOKEN --env {name}") == FLY_TOKEN
    assert {call["cwd"] for call in programs.calls} == {str(repository)}
    assert "fm2_" not in said.out + said.err
    assert not any("fm2_" in call["words"] for call in programs.calls)
    assert "reviewers" not in " ".join(words)
    # gh would take the end of its input for a value.
    assert "Skipped: it asks, and there is no terminal." in said.err
    assert not any(AUTH_SECRET in line for line in words)


def test_a_token_that_is_not_made_takes_no_other_s_place_and_ends_it(roost, programs, folder):
    programs.fail("fly tokens create deploy")

    said = roost("init", *FLAGS, "--run")

    assert said.code == 3
    assert "error [usage]: fly: The command failed, and the others were not run." in said.err
    assert not any("gh secret set" in call["words"] for call in programs.calls)
    assert (folder / "demo.yaml").exists()


def test_what_a_plan_of_github_does_not_have_is_left_out(roost, programs):
    programs.fail("gh api -X POST repos/{owner}/{repo}/rulesets", "fly apps create")

    said = roost("init", *FLAGS, "--protected", "--run")

    assert said.code == 0
    assert said.err.count("It failed. The others do not need it.") == 3  # two rulesets, one app


# On a terminal


def ask(folder, answers, *flags, **environ):
    env = {**os.environ, "ROOST_ENVIRONMENTS": str(folder), "GITHUB_REPOSITORY": "", **environ}
    return on_a_terminal([sys.executable, "-m", "roost", "init", *flags], env, answers)


@pytest.mark.usefixtures("roost")
def test_on_a_terminal_it_asks_again_until_an_answer_is_one(folder):
    answers = [
        *("", "No App", "my-prefect", "", "mars", "fra", "maybe", "y", "", "100", "", ""),
        "@acme/ops",
    ]

    code, said = ask(folder, "".join(f"{answer}\n" for answer in answers))

    assert code == 0, said
    environment = load_environment("staging", folder).environment
    assert (environment.app, environment.region) == ("my-prefect", "fra")
    assert (environment.protected, environment.machine.memory_mb) == (True, 512)
    for words in (
        "its GitHub environment's [staging]: ",
        "app must be 2 to 63 lower-case letters",
        "region must be one of",
        "answer yes or no.",
        "memory_mb must be",
    ):
        assert words in said.replace("\r\n", " ")


@pytest.mark.usefixtures("roost")
def test_the_end_of_the_input_writes_nothing(folder):
    code, said = ask(folder, "demo\n\x04")

    assert code == 3
    assert "There was no answer. Nothing was written." in said
    assert list(folder.iterdir()) == []


def test_each_command_is_run_only_if_somebody_agrees(folder, programs):
    given = (*FLAGS[:-1], "--organization", "personal", "--no-protected", "--size")
    answers = "".join(f"{answer}\n" for answer in ("", "", "n", "y", "n", "", *["n"] * 7))

    code, said = ask(
        folder,
        answers,
        *(*given, "shared-cpu-1x", "--memory", "512", "--backend", "sqlite", "--run"),
        PATH=str(programs.folder),
    )

    assert code == 0, said
    words = [call["words"] for call in programs.calls]
    assert [" ".join(line.split()[:4]) for line in words] == [
        *("fly apps create my-prefect", "gh api -X POST", f"gh secret set {AUTH_SECRET}"),
    ]
    assert said.count("Left out.") == 9
