"""A pull request, from its first commit to the server that its merge makes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.workflows


def test_a_pull_request_becomes_a_server(world):
    world.found(staging={})
    world.branch("more-logs")
    world.write("staging", prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}})

    number, runs = world.open_pull("More logs")

    print(runs["plan"])
    print(world.github.comments)
    print(world.github.calls)
    assert runs["plan"].good
