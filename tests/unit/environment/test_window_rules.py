"""`scaling.windows`: what is refused, with the place in the file and the fix."""

from __future__ import annotations

import pytest

from helpers.environments import environment_data, environment_file
from roost.environment import time_zones
from roost.environment.flow_rules import all_findings
from roost.environment.load import load_files
from roost.environment.model import Environment
from roost.environment.time_zones import zone_fault, zone_names
from roost.environment.window_rules import windows_of
from roost.environment.windows import ZONE_FORM, read_window
from roost.environment.written_out import merged

OFFICE = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}
FILE = """\
app: acme
region: iad
prefect: {version: 3.8.8}
secrets: [PREFECT_SERVER_API_AUTH_STRING]
scaling:
  windows:
    - WINDOW
"""


@pytest.fixture
def faults_of(tmp_path):
    """The faults of a file with one window, as LINE:COLUMN: MESSAGE."""

    def load(window):
        path = tmp_path / "staging.yaml"
        path.write_text(FILE.replace("WINDOW", window))
        return [str(f).removeprefix(f"{path}:") for f in load_files([path]).faults]

    return load


def found(*windows, **fields):
    scaling = {"windows": list(windows), **fields.pop("scaling", {})}
    environment = Environment.model_validate(environment_data(scaling=scaling, **fields))
    return [(".".join(map(str, path)), message) for path, message in all_findings(environment)]


@pytest.mark.parametrize(
    "window",
    [
        "{days: mon-fri, from: 08:00, to: 18:00, timezone: Europe/Berlin}",
        '{days: daily, from: "00:00", to: "08:00", timezone: UTC}',
        '{days: "sat,sun", from: "22:00", to: "24:00", timezone: Etc/GMT+3}',
        '{days: fri, from: "22:00", to: "06:00", timezone: America/Argentina/Ushuaia}',
    ],
)
def test_windows_are_written_with_and_without_quotes(faults_of, window):
    assert faults_of(window) == []


@pytest.mark.parametrize(
    ("window", "fault"),
    [
        ("mon-fri", "7:7: entry 1 must be a mapping of keys to values"),
        ("{days: mon}", "7:7: from is missing; add it"),
        ("{days: Mon, from: 08:00, to: 18:00, timezone: UTC}", "7:14: days must be days such as"),
        (
            "{days: [mon], from: 08:00, to: 18:00, timezone: UTC}",
            "7:14: days must be text, found a",
        ),
        (
            "{days: mon, from: 8:00, to: 18:00, timezone: UTC}",
            "7:25: from must be a time from 00:00",
        ),
        ("{days: mon, from: 24:00, to: 18:00, timezone: UTC}", "7:25: from must be a time from"),
        ("{days: mon, from: 8, to: 18:00, timezone: UTC}", "7:25: from must be text, found 8"),
        (
            "{days: mon, from: 08:00, to: 24:30, timezone: UTC}",
            "7:36: to must be a time from 00:00",
        ),
        (
            "{days: mon, from: 08:00, to: 08:00, timezone: UTC}",
            "7:36: a window from 08:00 to 08:00",
        ),
        ("{days: mon, from: 08:00, to: 18:00, timezone: CEST}", "7:53: there is no time zone CEST"),
        ("{days: mon, from: 08:00, to: 18:00, timezone: ../x}", "7:53: timezone must be the name"),
        ("{days: mon, from: 08:00, to: 18:00, timezone: UTC, tz: x}", "7:58: there is no key tz"),
    ],
)
def test_a_window_that_is_none_is_a_fault_at_its_place(faults_of, window, fault):
    assert any(one.startswith(fault) for one in faults_of(window)), faults_of(window)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Europe/Berlim", "there is no time zone Europe/Berlim; did you mean Europe/Berlin?"),
        (
            "US/Eastern",
            "an old name, which the server's image may not have; write America/New_York",
        ),
        ("Europe/Kiev", "write Europe/Kyiv"),
        ("Mars/Base", "there is no time zone Mars/Base; "),
        ("Etc/GMT+99", "there is no time zone Etc/GMT+99"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
    ],
)
def test_a_zone_that_images_lack_is_named_with_the_one_to_write(name, words):
    assert words in zone_fault(name)


def test_every_place_of_the_database_can_be_a_window_s_zone():
    assert len(zone_names()) > 400
    assert not [name for name in sorted(zone_names()) if zone_fault(name)]
    for name in zone_names():
        assert read_window(f"mon 08:00-18:00 {name}").zone.key == name, ZONE_FORM


def test_the_database_of_the_package_is_enough(tmp_path, monkeypatch):
    """Of a system without one, such as a small container."""
    for name in ("zone.tab", "tzdata.zi"):
        (tmp_path / name).write_text(
            "DE\t+5230+01322\tEurope/Berlin\tmost of Germany\nL Europe/Berlin Old/Name\n"
        )
    monkeypatch.setattr(time_zones, "files", lambda _: tmp_path)
    monkeypatch.setattr(time_zones, "TZPATH", ())
    time_zones.zone_names.cache_clear()
    time_zones._old_names.cache_clear()
    try:
        faults = zone_fault("Europe/Berlin"), zone_fault("Old/Name")
    finally:
        time_zones.zone_names.cache_clear()
        time_zones._old_names.cache_clear()

    assert faults[0] == ""
    assert "write Europe/Berlin" in faults[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scaling": {"autostop": "off"}}, "with autostop off the server never sleeps"),
        ({"scaling": {"min_machines_running": 1}}, "with min_machines_running 1 the server never"),
        (
            {"prefect": {"version": "3.8.8", "image": "prefecthq/prefect:3.8.8"}},
            "roost's own image",
        ),
    ],
)
def test_windows_without_an_effect_are_refused(fields, words):
    [(place, message)] = found(OFFICE, **fields)

    assert place == "scaling.windows"
    assert words in message
    assert found(**fields) == []


def test_windows_of_no_machine_are_refused():
    messages = [message for _, message in found(OFFICE, scaling={"count": 0})]

    assert (
        "with count 0 there is no server to keep awake; set it to 1, or remove windows" in messages
    )


def test_windows_that_never_close_are_an_always_running_server():
    day = {"days": "mon-thu", "from": "00:00", "to": "24:00", "timezone": "Asia/Tokyo"}

    assert found(day) == []
    assert found(day, {**day, "days": "fri-sun"}) == [
        (
            "scaling.windows",
            "they cover the whole week; set min_machines_running to 1 instead of them",
        )
    ]


def test_fly_s_proxy_must_not_be_left_to_somebody_who_has_it_stop_the_server():
    ignore = [{"field": "services[0].autostop", "reason": "the pilot sets it"}]

    assert [place for place, _ in found(OFFICE, drift={"ignore": ignore})] == [
        "drift.ignore.0.field"
    ]
    assert found(drift={"ignore": ignore}) == []


def test_windows_are_shown_as_they_were_written():
    file = environment_file(scaling={"windows": [OFFICE]})

    assert merged(file)["scaling"]["windows"] == [OFFICE]
    assert [str(window) for window in windows_of(file.environment)] == [
        "mon-fri 08:00-18:00 Europe/Berlin"
    ]


def test_there_are_at_most_twenty():
    with pytest.raises(ValueError, match="at most 20 items"):
        found(*[OFFICE] * 21)
