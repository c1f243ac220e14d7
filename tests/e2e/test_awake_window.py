"""A server with a window on the local Fly: awake inside, asleep when it closes, and woken by a tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from helpers.prefect_site import APP, NAME, PrefectSite
from helpers.waiting import until
from helpers.window_times import window_at

IDLE_S = 5
LEAST = timedelta(seconds=IDLE_S + 3)
"""What must be left of a window, to see that an idle server stays awake in it."""
APPLY = timedelta(seconds=12)
"""An apply, where the computer has nothing else to do."""
MINUTE = timedelta(minutes=1)
BETWEEN = 3 * MINUTE
"""From the end of the window to the next: a server does not sleep where less than one minute is left."""


@pytest.fixture
def site(tmp_path, image_cache):
    site = PrefectSite(tmp_path, image_cache)
    site.daemon.start()
    try:
        yield site
    finally:
        site.daemon.clean()


def apply_open_window(site):
    """Apply a window that is open and one after it; return when the first closes, at a full minute.

    After an apply that took longer than was left, it is tried again with more time.
    """
    margin = APPLY
    while True:
        began = datetime.now(UTC)
        ends = (began + margin + LEAST).replace(second=0, microsecond=0) + MINUTE
        open_now = window_at(-10 * MINUTE, ends - began, began)
        following = window_at(BETWEEN, BETWEEN + 60 * MINUTE, ends)
        site.write(scaling={"idle_after": f"{IDLE_S}s", "windows": [open_now, following]})
        site.roost.json("apply", NAME, "--local")
        if ends - datetime.now(UTC) > LEAST:
            return ends
        margin = 2 * (datetime.now(UTC) - began)


def tick(site):
    [found] = site.roost.json("tick", NAME, "--local")["environments"]
    return found


def time_of(due):
    return datetime.fromisoformat(due["at"])


def log_of(site):
    return site.roost.run("local", "logs", APP.removeprefix("/apps/")).stdout


@pytest.mark.slow
def test_a_server_stays_awake_in_its_window_sleeps_after_it_and_is_woken_for_the_next(site):
    ends = apply_open_window(site)
    until(lambda: site.state == "suspended")
    slept_at = datetime.now(UTC)

    asleep = site.roost.json("status", NAME, "--local")
    early = tick(site)

    assert slept_at >= ends
    assert f"no request for {IDLE_S} s, and stays awake: the window daily " in log_of(site)
    assert time_of(asleep["next_due"]) == ends + BETWEEN
    assert (early["decision"], early["due"]) == ("later", asleep["next_due"])

    until(lambda: tick(site)["decision"] != "later")
    until(lambda: f"stays awake: the window {asleep['next_due']['window']} " in log_of(site))
    assert site.state == "started"
