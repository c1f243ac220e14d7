"""The button for a server that is there: wake, sleep, smoke, backup."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.workflows


def test_the_button_proves_a_server_and_tells(world):
    world.found(staging={})

    run = world.press("server", environment="staging", action="smoke")

    print(run)
    assert run.good
