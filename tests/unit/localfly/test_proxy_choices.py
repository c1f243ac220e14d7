"""The proxy's pure choices: which service, which machine, which one may sleep, which headers."""

from __future__ import annotations

import pytest

from localfly.proxy.autostop import choose
from localfly.proxy.balance import Hold, Refuse, Route, Wake, candidates, decide
from localfly.proxy.headers import Origin, find, to_client, to_machine
from localfly.proxy.host import MachineView
from localfly.proxy.services import Service, web_service

ORIGIN = Origin("app", "127.0.0.1", 4000, "iad", "REQ")


def machine(name, state="started", *, region="iad", cordoned=False, passing=None, **fields):
    limits = {"soft_limit": 2, "hard_limit": 3}
    service = {"internal_port": 80, "autostart": True, "concurrency": limits, **fields}
    config = {"services": [service], "env": {"PRIMARY_REGION": "iad"}}
    return MachineView(name, name, state, config, "127.0.0.1", region, cordoned, passing)


def decided(*machines, **loads):
    only = loads.pop("only", None)
    refused = loads.pop("refused", ())
    return decide(candidates(machines, loads, only=only), refused=refused)


def routed(decision):
    assert isinstance(decision, Route)
    return decision.to.machine.id, decision.also_wake


@pytest.mark.parametrize(
    ("autostop", "expected"),
    [(True, "stop"), (False, "off"), ("suspend", "suspend"), ("off", "off"), (None, "off")],
)
def test_autostop_is_read_in_both_forms_the_api_has(autostop, expected):
    service = web_service({"services": [{"internal_port": 1, "autostop": autostop}]})

    assert service.autostop == expected


def test_the_service_on_443_is_the_web_address_and_the_least_aggressive_autostop_wins():
    found = web_service(
        {
            "services": [
                {"internal_port": 1, "autostop": "suspend", "ports": [{"port": 25}]},
                {"internal_port": 2, "autostop": "stop", "ports": [{"port": 80}, {"port": 443}]},
            ]
        }
    )

    assert (found.internal_port, found.autostop) == (2, "suspend")


def test_what_is_unset_has_flys_defaults():
    assert web_service({"services": [{"internal_port": 8}]}) == Service(internal_port=8)
    assert web_service({"services": []}) is None
    assert web_service({}) is None


def test_the_least_loaded_machine_below_its_limit_is_chosen():
    assert routed(decided(machine("a"), machine("b"), a=2, b=1)) == ("b", None)
    assert routed(decided(machine("a"), machine("b"), a=3, b=2)) == ("b", None)


def test_when_all_that_run_are_crowded_another_is_woken_for_the_next():
    decision = decided(machine("a"), machine("b", "stopped"), machine("c", "suspended"), a=2)

    assert routed(decision) == ("a", "c")


def test_nothing_runs_so_one_is_woken_suspended_before_stopped():
    assert decided(machine("a", "stopped"), machine("b", "suspended")) == Wake("b")


def test_a_machine_that_refused_is_not_asked_again():
    sleeping = machine("a", "stopped"), machine("b", "stopped")

    assert decided(*sleeping, refused={"a"}) == Wake("b")
    assert isinstance(decided(*sleeping, refused={"a", "b"}), Refuse)


@pytest.mark.parametrize(
    "waiting",
    [
        [machine("a", "starting")],
        [machine("a", "stopping")],
        [machine("a", "replacing")],
        [machine("a", passing=False)],
    ],
)
def test_what_may_change_by_itself_is_waited_for(waiting):
    assert isinstance(decided(*waiting), Hold)


def test_at_the_hard_limit_a_request_waits():
    assert isinstance(decided(machine("a"), a=3), Hold)


@pytest.mark.parametrize(
    "hopeless",
    [
        [],
        [machine("a", "created")],
        [machine("a", "destroyed")],
        [machine("a", "stopped", autostart=False)],
        [machine("a", cordoned=True)],
    ],
)
def test_what_cannot_change_is_refused(hopeless):
    assert isinstance(decided(*hopeless), Refuse)


def test_a_machine_whose_check_fails_gets_nothing_and_another_is_woken():
    assert decided(machine("a", passing=False), machine("b", "stopped")) == Wake("b")


def test_a_machine_asked_for_by_name_is_the_only_candidate():
    assert routed(decided(machine("a"), machine("b"), a=1, only="a")) == ("a", None)
    assert isinstance(decided(machine("a"), only="zzz"), Refuse)


def chosen(*machines, **loads):
    return [c.machine.id for c in choose(candidates(machines, loads), loads)]


STOP = {"autostop": "stop"}


def test_a_lone_machine_sleeps_only_without_load():
    assert chosen(machine("a", **STOP)) == ["a"]
    assert chosen(machine("a", **STOP), a=1) == []


def test_autostop_off_never_sleeps():
    assert chosen(machine("a", autostop="off")) == []


def test_of_several_one_a_pass_sleeps_while_the_rest_can_carry_the_load():
    three = [machine(name, **STOP) for name in "abc"]

    assert chosen(*three, a=1) == ["c"]
    assert chosen(*three, a=3) == ["c"]
    assert chosen(*three, a=3, b=3) == []
    assert chosen(*three, a=1, b=1, c=1) == []


def test_each_region_is_looked_at_by_itself():
    assert chosen(machine("a", **STOP), machine("b", region="ams", **STOP)) == ["a", "b"]


def test_the_minimum_is_kept_in_the_primary_region_only():
    kept = {"autostop": "suspend", "min_machines_running": 1}

    assert chosen(machine("a", **kept), machine("b", region="ams", **kept)) == ["b"]
    assert chosen(machine("a", **kept), machine("b", **kept)) == ["b"]


def test_machines_that_sleep_do_not_count():
    assert chosen(machine("a", **STOP), machine("b", "stopped", **STOP)) == ["a"]


def test_a_machine_is_told_who_asks_and_cannot_be_lied_to():
    headers = to_machine(
        [
            (b"host", b"app.localhost:4000"),
            (b"fly-client-ip", b"6.6.6.6"),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-for", b"1.2.3.4"),
            (b"connection", b"keep-alive, x-mine"),
            (b"x-mine", b"1"),
            (b"keep-alive", b"5"),
            (b"authorization", b"Basic eA=="),
        ],
        ORIGIN,
        upgrade=False,
    )

    assert dict(headers) == {
        b"host": b"app.localhost:4000",
        b"authorization": b"Basic eA==",
        b"fly-client-ip": b"127.0.0.1",
        b"fly-forwarded-port": b"4000",
        b"fly-region": b"iad",
        b"fly-request-id": b"REQ-iad",
        b"x-forwarded-for": b"1.2.3.4, 127.0.0.1",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-port": b"4000",
        b"x-forwarded-ssl": b"off",
        b"via": b"1.1 fly.io",
    }
    assert len(headers) == len(dict(headers))


def test_a_length_beside_a_chunked_body_is_dropped():
    headers = to_machine(
        [(b"host", b"x"), (b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
        ORIGIN,
        upgrade=False,
    )

    assert find(headers, b"content-length") is None
    assert find(headers, b"transfer-encoding") == b"chunked"


def test_an_upgrade_passes_and_so_does_its_acceptance():
    upgrade = [(b"host", b"x"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]

    assert find(to_machine(upgrade, ORIGIN, upgrade=True), b"upgrade") == b"websocket"
    accepted = to_client(upgrade, ORIGIN, Service(1), switching=True)
    assert find(accepted, b"connection") == b"upgrade"


def test_an_answer_carries_flys_headers_unless_it_is_to_be_pristine():
    answer = [(b"server", b"uvicorn"), (b"content-length", b"0")]

    assert to_client(answer, ORIGIN, Service(1), switching=False) == [
        (b"content-length", b"0"),
        (b"server", b"Fly/local"),
        (b"via", b"1.1 fly.io"),
        (b"fly-request-id", b"REQ-iad"),
    ]
    assert to_client(answer, ORIGIN, Service(1, pristine=True), switching=False) == answer


def test_a_service_sets_removes_and_repeats_headers_of_answers():
    service = Service(1, pristine=True, response_headers={"Server": False, "X-A": ["1", "2"]})

    assert to_client(
        [(b"server", b"uvicorn"), (b"x-a", b"0")], ORIGIN, service, switching=False
    ) == [
        (b"x-a", b"1"),
        (b"x-a", b"2"),
    ]
