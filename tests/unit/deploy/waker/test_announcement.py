"""Announcements: only addresses that Fly gives to the app itself, and times that exist."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from roost_waker.announcement import Announcement, read_announcement
from roost_waker.errors import AnnouncementError

AT = "2026-11-30T12:00:00+00:00"
GOOD = {"app": "acme", "address": "http://acme.flycast", "at": AT}


def read(*, local=False, **changes):
    return read_announcement(json.dumps(GOOD | changes), local=local)


@pytest.mark.parametrize("address", ["http://acme.flycast", "https://acme.fly.dev"])
def test_both_addresses_of_an_app_are_taken(address):
    found = read(address=address, at="2026-11-30T13:00:00+01:00", more={"ignored": True})

    assert found == Announcement("acme", address, datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert read_announcement(found.to_json()) == found


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[fdaa::3]",
        "http://_api.internal:4280",
        "https://api.machines.dev",
        "https://other.fly.dev",
        "http://acme.fly.dev",
        "https://acme.flycast",
        "http://acme.flycast/",
        "http://acme.flycast/api/admin",
        "http://acme.flycast:4280",
        "http://user:x@acme.flycast",
        "http://acme.flycast.evil.example",
        "https://acme.fly.dev@evil.example",
        "http://acme.flycast\n",
        "file:///etc/passwd",
        "",
        None,
        7,
    ],
)
def test_no_other_address_is_requested(address):
    with pytest.raises(AnnouncementError):
        read(address=address)


def test_a_port_of_this_computer_is_taken_on_a_local_fly_only():
    assert read(local=True, address="http://127.0.0.1:4711").address == "http://127.0.0.1:4711"
    for address in ("http://127.0.0.1", "http://127.0.0.2:1", "http://127.0.0.1:1/x"):
        with pytest.raises(AnnouncementError):
            read(local=True, address=address)


@pytest.mark.parametrize(
    "changes",
    [
        {"app": ""},
        {"app": "a"},
        {"app": "Acme"},
        {"app": "acme/../x"},
        {"app": ["acme"]},
        {"at": "soon"},
        {"at": 1_800_000_000},
        {"at": "2026-11-30T12:00:00"},
        {"at": "2026-02-30T12:00:00Z"},
        {"at": "0001-01-01T00:00:00+23:59"},
        {"at": "٢026-11-30T12:00:00Z"},
    ],
)
def test_a_wrong_field_is_refused(changes):
    with pytest.raises(AnnouncementError):
        read(**changes)


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 2000, b'"x"'])
def test_what_is_no_announcement_is_refused(text):
    with pytest.raises(AnnouncementError):
        read_announcement(text)


def test_no_time_withdraws():
    assert read(at=None).at is None
