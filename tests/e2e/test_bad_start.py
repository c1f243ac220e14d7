"""A server that does not come up, or dies while it is proved, ends an apply at once with the cause."""

from __future__ import annotations

import re

import pytest

from helpers.prefect_site import NAME
from helpers.roost_command import finish

APPLY = ("apply", NAME, "--local")
LEFT = "Nothing was rolled back: there is no other healthy release."


def assert_says_what_stands_where(told):
    assert LEFT in told
    assert re.search(r"^  machine app-1 \w+ \w+ image ", told, re.MULTILINE)
    assert re.search(r"^  volume vol_\w+ 1 GB in iad, untouched$", told, re.MULTILINE)
    assert re.search(r"^  release 1 failed ", told, re.MULTILINE)


@pytest.mark.slow
def test_a_setting_that_prefect_refuses_is_named_without_its_value(own_site):
    setting = {"PREFECT_SERVER_EVENTS_RELATED_RESOURCE_CACHE_TTL": "not-a-period"}
    own_site.start(prefect={"settings": setting})

    done = own_site.roost.run(*APPLY, expect=5)
    log = own_site.roost.run("local", "logs", "acme-prefect").stdout

    assert f"demo: This apply changed the setting {next(iter(setting))}; " in done.stderr
    said = 'exited with code 1 instead of serving. It said: "a Prefect setting is wrong ('
    assert said in done.stderr
    assert "Its log says why (" in done.stderr
    assert_says_what_stands_where(done.stderr)
    assert "roost: the server cannot start: a Prefect setting is wrong (" in log
    assert "related_resource_cache_ttl" in log
    assert "not-a-period" not in done.stderr + log


@pytest.mark.slow
def test_a_server_that_is_killed_while_it_is_proved_ends_the_apply_with_how_it_died(own_site):
    own_site.start()
    apply = own_site.roost.begin(*APPLY)
    assert any("ok   health" in line for line in iter(apply.stderr.readline, ""))

    for process in own_site.daemon.machine_processes():
        process.kill()
    done = finish(apply)

    assert done.returncode == 5
    assert "error [gate-failed-not-rolled-back]: demo: This apply changed " in done.stderr
    assert "was ended by signal 9 instead of serving." in done.stderr
    assert_says_what_stands_where(done.stderr)
