"""A server with a window on the local Fly: awake inside, asleep when it closes, and woken by a tick."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from helpers.prefect_site import APP, NAME, PrefectSite
from helpers.waiting import until
from helpers.window_times import window_at
from roost.plan.next_due import NEXT_DUE_KEY

IDLE_S = 5
LEAST = timedelta(seconds=IDLE_S + 3)
"""What must be left of a window, to see that an idle server stays awake in it."""
APPLY = timedelta(seconds=12)
"""An apply, where the computer has nothing else to do."""
MINUTE = timedelta(minutes=1)


@pytest.fixture
def site(tmp_path, image_cache):
    site = PrefectSite(tmp_path, image_cache)
    site.daemon.start()
    try:
        yield site
    finally:
        site.daemon.clean()


def apply_open_window(site):
    """Apply a window that is open, and return when it closes, which is at a full minute.

    After an apply that took longer than was left, it is tried again with more time.
    """
    margin = APPLY
    while True:
        began = datetime.now(UTC)
        ends = (began + margin + LEAST).replace(second=0, microsecond=0) + MINUTE
        window = window_at(-10 * MINUTE, ends - began, began)
        site.write(scaling={"idle_after": f"{IDLE_S}s", "windows": [window]})
        site.roost.json("apply", NAME, "--local")
        if ends - datetime.now(UTC) > LEAST:
            return ends
        margin = 2 * (datetime.now(UTC) - began)


def metadata(site):
    return site.daemon.machine(APP, site.machine)["config"]["metadata"]


def time_of(due):
    return datetime.fromisoformat(due["at"])


def log_of(site):
    return site.roost.run("local", "logs", APP.removeprefix("/apps/")).stdout


@pytest.mark.slow
def test_a_server_stays_awake_in_its_window_sleeps_after_it_and_is_woken_for_the_next(site):
    ends = apply_open_window(site)
    until(lambda: site.state == "suspended")
    slept_at = datetime.now(UTC)
    left = metadata(site)[NEXT_DUE_KEY]

    asleep = site.roost.json("status", NAME, "--local")
    early = site.roost.json("tick", NAME, "--local")["environments"][0]

    assert slept_at >= ends
    assert f"no request for {IDLE_S} s, and stays awake: the window daily " in log_of(site)
    assert asleep["next_due"]["window"].startswith("daily ")
    assert timedelta(hours=23) < time_of(asleep["next_due"]) - ends < timedelta(hours=24)
    assert (early["decision"], early["due"]) == ("later", asleep["next_due"])

    # As if a day had passed but for a moment; the tick reads nothing else.
    window = window_at(-MINUTE, 60 * MINUTE)
    named = f"daily {window['from']}-{window['to']} UTC"
    due = {"at": datetime.now(UTC).isoformat(), "window": named}
    path = f"{APP}/machines/{site.machine}/metadata/{NEXT_DUE_KEY}"
    site.daemon.call("POST", path, {"value": json.dumps(due)}, expect=204)
    woken = site.roost.json("tick", NAME, "--local")["environments"][0]

    assert (woken["decision"], woken["due"]["window"]) == ("due", named)
    until(lambda: site.state == "suspended" and metadata(site)[NEXT_DUE_KEY] == left)
