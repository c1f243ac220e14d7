"""Releases, in GitHub's form."""

from __future__ import annotations

from helpers.fake_github.answers import Answer, Ask, RefusedError, check_length, not_found
from helpers.fake_github.routes import route
from helpers.fake_github.state import Json

LONGEST = 125_000


@route("POST", "releases", "contents=write")
def create_release(ask: Ask) -> Answer:
    """Publish a release; GitHub would make a missing tag, which nobody here wants."""
    tag, body = ask.text("tag_name", "Release"), str(ask.body.get("body") or "")
    check_length("Release", "body", body, LONGEST)
    if tag in ask.state.releases:
        raise RefusedError(
            422,
            "Validation Failed",
            [{"resource": "Release", "code": "already_exists", "field": "tag_name"}],
        )
    ask.state.releases[tag] = {"name": str(ask.body.get("name") or ""), "body": body}
    return Answer(201, _shape(ask, tag))


@route("GET", "releases/tags/{tag}", "contents=read")
def get_release(ask: Ask) -> Answer:
    """Return the release of a tag."""
    if ask.args["tag"] not in ask.state.releases:
        raise not_found()
    return Answer(200, _shape(ask, ask.args["tag"]))


def _shape(ask: Ask, tag: str) -> Json:
    found = ask.state.releases[tag]
    page = f"https://github.com/{ask.state.repository}/releases/tag/{tag}"
    return {
        "id": 1 + list(ask.state.releases).index(tag),
        "tag_name": tag,
        "html_url": page,
        **found,
    }
