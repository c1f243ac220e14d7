"""Each method sends what the API documents and gives what it answered, typed."""

from __future__ import annotations

import json

import pytest

from helpers.fly_answers import ask, says
from roost.errors import FlyAnswerError, FlyForbiddenError, FlyWaitTimeoutError
from roost.fly.models import IpAssignment, Machine, MachineEvent
from roost.fly.transport import NONCE
from roost.secret_text import SecretText

MACHINE = {"id": "m1"}


def sent(request):
    body = json.loads(request.content) if request.content else None
    return request.method, request.url.raw_path.decode().removeprefix("/v1"), body


@pytest.mark.parametrize(
    ("call", "answer", "expected"),
    [
        (
            lambda f: f.create_app("a", "personal"),
            None,
            ("POST", "/apps", {"name": "a", "org_slug": "personal"}),
        ),
        (lambda f: f.delete_app("a"), None, ("DELETE", "/apps/a?force=true", None)),
        (
            lambda f: f.assign_ip("a", "shared_v4"),
            {"ip": "66.241.1.1"},
            ("POST", "/apps/a/ip_assignments", {"type": "shared_v4"}),
        ),
        (
            lambda f: f.release_ip("a", "2a09::1"),
            None,
            ("DELETE", "/apps/a/ip_assignments/2a09%3A%3A1", None),
        ),
        (
            lambda f: f.update_volume("a", "vol_1", snapshot_retention=7),
            None,
            ("PUT", "/apps/a/volumes/vol_1", {"snapshot_retention": 7}),
        ),
        (
            lambda f: f.extend_volume("a", "vol_1", 3),
            None,
            ("PUT", "/apps/a/volumes/vol_1/extend", {"size_gb": 3}),
        ),
        (
            lambda f: f.set_secrets("a", {"A": SecretText("v"), "E": SecretText(""), "B": None}),
            {"version": 2},
            ("POST", "/apps/a/secrets", {"values": {"A": "v", "E": "", "B": None}}),
        ),
        (
            lambda f: f.list_machines("a", {"roost_environment": "s p"}),
            [],
            ("GET", "/apps/a/machines?metadata.roost_environment=s+p", None),
        ),
        (
            lambda f: f.create_machine("a", "n", "iad", {"image": "i"}),
            MACHINE,
            (
                "POST",
                "/apps/a/machines",
                {"name": "n", "region": "iad", "config": {"image": "i"}},
            ),
        ),
        (
            lambda f: f.create_machine(
                "a", "n", "iad", {}, skip_launch=True, min_secrets_version=3, lease_ttl_s=30
            ),
            MACHINE,
            (
                "POST",
                "/apps/a/machines",
                {
                    "name": "n",
                    "region": "iad",
                    "config": {},
                    "skip_launch": True,
                    "min_secrets_version": 3,
                    "lease_ttl": 30,
                },
            ),
        ),
        (
            lambda f: f.update_machine("a", "m1", {"image": "i"}, current_version="01J"),
            MACHINE,
            ("POST", "/apps/a/machines/m1", {"config": {"image": "i"}, "current_version": "01J"}),
        ),
        (lambda f: f.stop_machine("a", "m1"), None, ("POST", "/apps/a/machines/m1/stop", {})),
        (
            lambda f: f.suspend_machine("a", "m1"),
            None,
            ("POST", "/apps/a/machines/m1/suspend", None),
        ),
        (
            lambda f: f.destroy_machine("a", "m1"),
            None,
            ("DELETE", "/apps/a/machines/m1?force=true", None),
        ),
        (
            lambda f: f.wait_machine("a", "m1", "started", 30, version="01J"),
            {"ok": True},
            ("GET", "/apps/a/machines/m1/wait?state=started&timeout=30&version=01J", None),
        ),
        (
            lambda f: f.patch_metadata("a", "m1", {"k": "v"}),
            None,
            ("PATCH", "/apps/a/machines/m1/metadata", {"metadata": {"k": "v"}}),
        ),
        (
            lambda f: f.acquire_lease("a", "m1", 30, "why"),
            {"status": "success", "data": {"nonce": "n"}},
            ("POST", "/apps/a/machines/m1/lease", {"ttl": 30, "description": "why"}),
        ),
    ],
)
def test_a_call_is_sent_as_the_api_documents_it(call, answer, expected):
    _, fly = ask(call, says(200, answer))

    assert sent(fly.asked[0]) == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f.update_machine("a", "m1", {}, current_version="01J", nonce="n1"),
        lambda f: f.start_machine("a", "m1", "n1"),
        lambda f: f.stop_machine("a", "m1", "n1"),
        lambda f: f.suspend_machine("a", "m1", "n1"),
        lambda f: f.restart_machine("a", "m1", "n1"),
        lambda f: f.destroy_machine("a", "m1", "n1"),
        lambda f: f.refresh_lease("a", "m1", 30, "why", "n1"),
        lambda f: f.release_lease("a", "m1", "n1"),
    ],
)
def test_the_lease_s_nonce_goes_along_with_what_it_guards(call):
    _, fly = ask(call, says(200, {**MACHINE, "data": {"nonce": "n1"}}))

    assert fly.asked[0].headers[NONCE] == "n1"


def test_a_call_without_a_lease_has_no_nonce_header():
    _, fly = ask(lambda f: f.stop_machine("a", "m1"), says(200))

    assert NONCE not in fly.asked[0].headers


def test_absent_things_are_none():
    absent = says(404, {"error": "not found"})

    assert ask(lambda f: f.get_app("a"), absent)[0] is None
    assert ask(lambda f: f.get_machine("a", "m1"), absent)[0] is None
    assert ask(lambda f: f.get_lease("a", "m1"), absent)[0] is None


def test_an_app_of_another_organization_is_not_taken_for_a_free_name():
    error, _ = ask(lambda f: f.get_app("a"), says(403, {"error": "unauthorized"}))

    assert isinstance(error, FlyForbiddenError)


@pytest.mark.parametrize(
    "body", [{"status": "success", "data": {"nonce": "n1"}}, {"nonce": "n1"}], ids=["real", "spec"]
)
def test_a_lease_is_read_with_or_without_its_envelope(body):
    assert ask(lambda f: f.acquire_lease("a", "m1", 30, "d"), says(201, body))[0].nonce == "n1"


@pytest.mark.parametrize("body", [{"status": "success", "data": {}}, {"data": {"nonce": ""}}])
def test_a_lease_without_a_nonce_is_no_lease(body):
    error, _ = ask(lambda f: f.acquire_lease("a", "m1", 30, "d"), says(201, body))

    assert isinstance(error, FlyAnswerError)


def test_machines_and_volumes_on_their_way_out_are_left_out():
    machines = [{"id": s, "state": s} for s in ("started", "destroying", "destroyed", "failed")]
    volumes = [{"id": s, "state": s} for s in ("created", "pending_destroy", "scheduling_destroy")]

    kept = ask(lambda f: f.list_machines("a"), says(200, machines))[0]
    assert [m.id for m in kept] == ["started", "failed"]
    kept = ask(lambda f: f.list_volumes("a"), says(200, volumes))[0]
    assert [v.id for v in kept] == ["created"]


def test_the_version_of_secrets_is_kept_for_the_machines_that_follow():
    body = {"Version": 4, "version": 4, "secrets": [{"name": "A", "digest": "d1"}]}

    update, _ = ask(lambda f: f.set_secrets("a", {"A": SecretText("v")}), says(200, body))

    assert (update.version, update.secrets[0].digest) == (4, "d1")


# Waiting for a state


def test_a_long_wait_is_asked_in_slices():
    timeout = says(408, {"error": "deadline_exceeded"})
    result, fly = ask(
        lambda f: f.wait_machine("a", "m1", "started", 150, version="01J"),
        timeout,
        says(200, {"ok": True}),
    )

    assert result is None
    assert [r.url.params["timeout"] for r in fly.asked] == ["60", "60"]


def test_a_wait_ends_with_its_limit():
    said = "deadline_exceeded: machine failed to reach desired state, started, currently created"
    error, fly = ask(
        lambda f: f.wait_machine("a", "m1", "started", 30, version="01J"),
        says(408, {"error": said}),
    )

    assert isinstance(error, FlyWaitTimeoutError)
    assert "currently created" in str(error)
    assert len(fly.asked) == 1


@pytest.mark.parametrize("limit_s", [0, 0.2, -3])
def test_the_shortest_wait_is_a_second(limit_s):
    _, fly = ask(
        lambda f: f.wait_machine("a", "m1", "started", limit_s, version="01J"), says(200, {})
    )

    assert fly.asked[0].url.params["timeout"] == "1"


def test_the_connection_waits_longer_than_the_api_blocks():
    _, fly = ask(lambda f: f.wait_machine("a", "m1", "started", 60, version="01J"), says(200, {}))

    assert fly.asked[0].extensions["timeout"]["read"] > 60


# Values


def test_what_fly_adds_tomorrow_is_kept():
    machine = Machine.model_validate({"id": "m1", "brand_new": {"a": 1}})

    assert machine.model_extra == {"brand_new": {"a": 1}}


def test_empty_lists_written_as_null_are_empty():
    machine = Machine.model_validate({"id": "m1", "events": None, "checks": None, "config": None})

    assert (machine.events, machine.checks, machine.metadata) == ((), (), {})


def test_metadata_is_read_even_while_the_host_does_not_answer():
    incomplete = {"metadata": {"k": "v"}}
    machine = Machine(id="m1", host_status="unreachable", incomplete_config=incomplete)

    assert machine.metadata == {"k": "v"}


def test_only_an_exit_has_an_exit_event():
    request = {"exit_event": {"exit_code": 1}}

    assert MachineEvent(type="exit", request=request).exit_event == {"exit_code": 1}
    assert MachineEvent(type="start", request=request).exit_event is None
    assert MachineEvent(type="exit").exit_event is None


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"ip": "66.241.1.1", "shared": True}, "shared_v4"),
        ({"ip": "203.0.113.7"}, "v4"),
        ({"ip": "2a09::1"}, "v6"),
        ({"ip": "fdaa:0:1::3"}, "private_v6"),
        ({"ip": "fdaa:0:1::3", "type": "v6"}, "v6"),
    ],
)
def test_the_kind_of_an_address_is_known_with_or_without_its_type(fields, kind):
    assert IpAssignment(**fields).kind == kind
