"""What a merge approves: what its comment showed before it, and nothing else. Each is really played."""

from __future__ import annotations

import re

import httpx
import pytest

from roost.report.comment import Omitted, read_marker

pytestmark = pytest.mark.workflows

LEVEL = "PREFECT_LOGGING_LEVEL"
MOTD = "PREFECT_SMALL_MOTD"


def asking(**settings):
    """The settings of a server."""
    return {"settings": settings}


@pytest.fixture
def deployed(world):
    """A repository whose one server runs."""
    world.found(staging={})
    run = world.deploy_all()
    assert run.good, run
    world.branch("change")
    return world


def row_of(world, number):
    """What the comment shows of the machine."""
    [row] = re.findall(r"^\| `machine/app-1` .*$", world.comment(number), re.MULTILINE)
    return row


def test_a_plan_that_is_run_again_after_the_merge_approves_nothing_more(deployed):
    """Live changed since: the plan of now is what nobody saw, and the comment stays what was merged."""
    world = deployed
    world.write("staging", prefect=asking(**{LEVEL: "DEBUG"}))
    number, opened = world.open_pull("Louder")
    assert opened["plan"].good, opened["plan"]
    planned = world.pull_event(number, "opened")
    before = world.comment(number)
    merged = world.merge(number)
    world.by_hand("staging", env={"PREFECT_SMALL_HAND": "1"})

    again = world.happens(planned, "plan")["plan"]
    deploy = world.happens(merged, "deploy")["deploy"]

    assert again.good, again
    assert f"Pull request {number} is merged, so its comment stays as it is." in again.summary
    assert world.github.comments(number)[0].bodies[0] == before
    assert not deploy.good
    outcome = deploy.artifact("deploy-staging")
    assert (outcome["outcome"], outcome["word"]) == ("refused", "plan-changed")
    assert world.setting("staging", LEVEL) is None


def test_a_comment_that_was_written_after_the_merge_approves_nothing(deployed):
    """The job saw an open pull request, and somebody merged it before it wrote; by a digest it is deployed."""
    world = deployed
    world.write("staging", prefect=asking(**{LEVEL: "DEBUG"}))
    number, opened = world.open_pull("Louder")
    assert opened["plan"].good, opened["plan"]
    world.github.pass_time(-300)

    deploy = world.happens(world.merge(number), "deploy")["deploy"]

    outcome = deploy.artifact("deploy-staging")
    assert (outcome["outcome"], outcome["word"]) == ("refused", "not-planned")
    assert "was not written before the pull request was merged" in outcome["message"]
    assert world.setting("staging", LEVEL) is None
    assert read_marker(world.comment(number)).approved == {}

    by_hand = world.press("deploy", environment="staging", digest=outcome["digest"])
    assert by_hand.good, by_hand
    assert world.setting("staging", LEVEL) == "DEBUG"


def test_a_deploy_that_did_not_come_to_an_end_is_still_approved_when_it_runs_again(deployed):
    """The report wrote into the comment after the merge, and saw before that what was older than it."""
    world = deployed
    world.write("staging", prefect=asking(**{LEVEL: "DEBUG"}))
    number, _ = world.open_pull("Louder")
    merged = world.merge(number)
    token = world.secrets.pop("FLY_API_TOKEN")
    failed = world.happens(merged, "deploy")["deploy"]
    assert not failed.good
    assert "not deployed" in world.comment(number)
    world.secrets["FLY_API_TOKEN"] = token
    world.github.pass_time()

    again = world.happens(merged, "deploy")["deploy"]

    assert again.good, again
    assert world.setting("staging", LEVEL) == "DEBUG"


def test_a_value_and_a_setting_that_are_not_shown_leave_a_hash_that_tells_them_apart(deployed):
    """At character 150 of a long value, and in the setting after those that a comment has room for."""
    world = deployed
    many = {f"PREFECT_SMALL_{n:02}": str(n) for n in range(34)}
    rows, summaries = [], []
    for letter, last in (("a", "one"), ("b", "one"), ("b", "two")):
        value = f"{'x' * 149}{letter}{'x' * 50}"
        settings = {"PREFECT_A": value, **many, "PREFECT_SMALL_ZZ": last}
        world.write("staging", prefect=asking(**settings))
        if not rows:
            number, runs = world.open_pull("Many settings")
        else:
            runs = world.push_again(number)
        assert runs["plan"].good, runs["plan"]
        rows.append(row_of(world, number))
        summaries.append((value, last, runs["plan"].summary))

    assert len(set(rows)) == 3
    shown = [
        re.search(r"`x+\u2026 \(200 characters, sha256 ([0-9a-f]{24})\)`", row) for row in rows
    ]
    assert shown[0][1] != shown[1][1] == shown[2][1]
    rest = [re.search(r"and \d+ more, sha256 `([0-9a-f]{24})`", row)[1] for row in rows]
    assert rest[1] != rest[2]
    assert "PREFECT_SMALL_ZZ" not in rows[0]
    for value, last, summary in summaries:  # where the comment says that it is whole
        assert f"`{value}`" in summary
        assert re.search(rf"`env.PREFECT_SMALL_ZZ`: `\(none\)` \u2192 `{last}`", summary)

    assert world.happens(world.merge(number), "deploy")["deploy"].good
    assert world.setting("staging", "PREFECT_SMALL_ZZ") == "two"


def test_an_environment_that_is_too_long_for_the_comment_is_deployed_by_its_digest_alone(deployed):
    world = deployed
    long = {f"PREFECT_SMALL_{n}": "*" * 15_000 for n in range(4)}
    world.by_hand("staging", env=dict.fromkeys(long, "somebody's"))
    ignored = [{"field": f"env.{name}", "reason": "set by hand"} for name in long]
    settings = asking(**long, **{LEVEL: "DEBUG"})
    world.write("staging", prefect=settings, drift={"ignore": ignored})
    number, opened = world.open_pull("Very long")
    assert opened["plan"].good, opened["plan"]

    marker = read_marker(world.comment(number))
    [row] = re.findall(
        r"^\| `staging` \| .* \| `([0-9a-f]{64})` \|$", world.comment(number), re.MULTILINE
    )
    assert (marker.approved, marker.omitted) == ({}, {"staging": Omitted.LONG})
    assert "merging does not approve them" in world.comment(number)

    refused = world.happens(world.merge(number), "deploy")["deploy"]
    outcome = refused.artifact("deploy-staging")
    assert (outcome["word"], outcome["digest"]) == ("not-planned", row)
    said = f"was too long for the comment of pull request {number}, so merging did not approve it"
    assert said in outcome["message"]
    assert f"run the deploy workflow for staging with the digest {row}" in outcome["message"]
    assert world.setting("staging", LEVEL) is None

    by_hand = world.press("deploy", environment="staging", digest=row)
    assert by_hand.good, by_hand
    assert world.setting("staging", LEVEL) == "DEBUG"


def rewritten_as_the_bot(world, number, text):
    """What a workflow on a writer's branch can do: it asks for the permission, and has the token."""
    comment = world.github.comments(number)[0]
    seals = world.comment(number).partition("\n")[0]
    token = world.github.token_for({"pull_requests": "write"})
    answer = httpx.patch(
        f"{world.github.url}/repos/{world.github.state.repository}/issues/comments/{comment.id}",
        headers={"Authorization": f"Bearer {token}"},
        json={"body": f"{seals}\n{text}"},
    )
    assert answer.status_code == 200, answer.text


def test_a_comment_that_a_workflow_rewrote_to_show_nothing_approves_nothing(deployed):
    """The bot is its only author, and its hidden seals are the real ones: anybody can compute them."""
    world = deployed
    world.write("staging", prefect=asking(**{LEVEL: "DEBUG"}))
    number, opened = world.open_pull("Harmless")
    assert opened["plan"].good, opened["plan"]
    rewritten_as_the_bot(
        world, number, "## Roost plan\n\nNo environment changes in this pull request.\n"
    )
    assert list(read_marker(world.comment(number)).approved) == ["staging"]
    merged = world.merge(number)

    deploy = world.happens(merged, "deploy")["deploy"]
    # The report wrote into the comment, and that makes it no better.
    again = world.happens(merged, "deploy")["deploy"]

    for run in (deploy, again):
        assert not run.good
        outcome = run.artifact("deploy-staging")
        assert (outcome["outcome"], outcome["word"]) == ("refused", "plan-changed")
        assert (
            f"machine/app-1: update the machine app-1: the comment of pull request {number} does "
            "not show it as the workflow writes it; somebody may have rewritten it."
        ) in outcome["message"]
    assert world.setting("staging", LEVEL) is None

    by_hand = world.press("deploy", environment="staging", digest=outcome["digest"])
    assert by_hand.good, by_hand
    assert world.setting("staging", LEVEL) == "DEBUG"
