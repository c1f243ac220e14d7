"""The proof of a server: green for a good one, and one clear finding for each way to be broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import virtual_time
from helpers.fake_prefect import LOGIN, FakePrefect, first, say
from roost.errors import UsageError
from roost.prefect.probe import CHECKS, Server, prove, select_checks
from roost.prefect.read_checks import usable_in_browser
from roost.prefect.transport import LoopbackNames, prefect_client
from roost.secret_text import SecretText

URL = "http://acme.test"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIMIT_S = 10.0
SHORT_S = 0.5
NAMES = [check.name for check in CHECKS]


def probe(fake, *, auth=LOGIN, version="3.8.8", stock=False, only="", url=URL, limit_s=LIMIT_S):
    """Run the checks, or one of them; `limit_s` is for the one named, or for the scheduler."""

    async def run():
        async with prefect_client(url, 5, httpx.MockTransport(fake)) as http:
            server = Server(
                http,
                SecretText(auth) if auth else None,
                version,
                poll_s=0.05,
                now=lambda: NOON,
            )
            checks = [
                replace(check, limit_s=limit_s if check.name in (only, "scheduler") else LIMIT_S)
                for check in select_checks(login=bool(auth), stock=stock)
                if not only or check.name == only
            ]
            return [result async for result in prove(server, tuple(checks), anyio.current_time)]

    results = virtual_time.run(run)
    return {result.name: result for result in results}


def finding(fake, check, **options):
    """Run one check that must fail, and return its result."""
    [result] = probe(fake, only=check, **options).values()
    assert not result.ok
    assert result.detail
    assert result.advice.endswith((".", "?"))
    return result


def test_a_good_server_passes_every_check_in_order():
    results = probe(FakePrefect())

    assert list(results) == NAMES
    assert all(result.ok for result in results.values()), results
    assert all(0 <= result.seconds <= result.limit_s for result in results.values())


def test_every_check_has_a_name_a_limit_and_advice_of_its_own():
    assert len(set(NAMES)) == len(NAMES)
    assert all(check.limit_s > 0 and check.advice for check in CHECKS)


def test_nothing_of_ours_is_left_on_the_server():
    fake = FakePrefect()

    probe(fake)

    assert fake.things == {}


def test_a_server_without_login_is_proved_without_the_login_check():
    results = probe(FakePrefect(auth=False), auth="")

    assert list(results) == [name for name in NAMES if name != "auth closed"]
    assert all(result.ok for result in results.values()), results


def test_a_stock_server_is_not_asked_for_what_only_our_image_promises():
    results = probe(FakePrefect(docs=True), stock=True)

    assert "costly pages closed" not in results
    assert all(result.ok for result in results.values())


def test_csrf_protection_is_met_with_a_token():
    assert all(result.ok for result in probe(FakePrefect(csrf=True)).values())


@pytest.mark.parametrize(
    "answer",
    [
        say(200, []),
        say(200, {}),
        httpx.Response(200, content=b"[" * 5_000),
        say(500),
        httpx.ReadError("reset"),
    ],
    ids=str,
)
def test_a_broken_csrf_endpoint_does_not_break_the_proof(answer):
    fake = FakePrefect(broken={("GET", "/api/csrf-token"): answer})

    assert all(result.ok for result in probe(fake).values())


# Health and ready


def test_a_booting_server_is_waited_for():
    boot = first(
        httpx.ConnectError("refused"),
        say(502),
        httpx.RemoteProtocolError("closed"),
        say(503),
        httpx.ReadTimeout("late"),
    )

    assert probe(FakePrefect(broken={("GET", "/api/health"): boot}))["health"].ok


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (httpx.ConnectError("refused"), "cannot connect (refused)"),
        (httpx.ConnectTimeout(""), "cannot connect (ConnectTimeout)"),
        (say(502), "answered 502"),
        (say(503), "answered 503"),
        (httpx.ReadTimeout(""), "hangs"),
        ("hang", "hangs"),
        (httpx.ReadError(""), "connection broke (ReadError)"),
    ],
    ids=str,
)
def test_the_ways_of_not_coming_up_are_told_apart(answer, detail):
    result = finding(FakePrefect(broken={("GET", "/api/health"): answer}), "health", limit_s=0.05)

    assert "not within 0.05 s" in result.detail
    assert detail in result.detail
    assert "log" in result.advice


@pytest.mark.parametrize("broken", ["health", "ready"])
def test_nothing_more_is_asked_when_a_vital_check_fails(broken):
    fake = FakePrefect(broken={("GET", f"/api/{broken}"): say(418)})

    results = probe(fake)

    assert list(results)[-1] == broken
    assert all(result.ok for name, result in results.items() if name != broken)


def test_a_login_on_health_is_a_finding_of_its_own():
    results = probe(FakePrefect(broken={("GET", "/api/health"): say(401)}))

    assert list(results) == ["health without login"]
    assert "3.1.8 to 3.1.12" in results["health without login"].advice


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (say(301, location="https://acme.test/api/health"), "301 to https://acme.test/api/health"),
        (say(404, {"detail": "Not Found"}), "404"),
        (say(200, body=False), "200: false"),
    ],
    ids=str,
)
def test_what_no_boot_explains_is_told_at_once(answer, detail):
    result = finding(FakePrefect(broken={("GET", "/api/health"): answer}), "health", limit_s=30)

    assert detail in result.detail
    assert "Is this the address" in result.advice


def test_a_database_that_does_not_answer_is_waited_for_and_then_told():
    locked = say(503, {"message": "database is locked"})

    assert probe(FakePrefect(broken={("GET", "/api/ready"): first(locked)}))["ready"].ok
    result = finding(FakePrefect(broken={("GET", "/api/ready"): locked}), "ready", limit_s=0.5)
    assert "503" in result.detail
    assert "database is locked" in result.detail


# Looking


def test_another_version_than_the_pinned_one_is_found():
    result = finding(FakePrefect(version="3.9.1"), "version")

    assert result.detail == "runs 3.9.1, pinned is 3.8.8"


def test_without_a_pin_any_version_is_told():
    assert probe(FakePrefect(), version="")["version"].detail == "Prefect 3.8.8"


def test_an_open_api_is_found():
    result = finding(FakePrefect(auth=False), "auth closed")

    assert "with no credentials the API answered 200" in result.detail
    assert "Anybody can use this server" in result.advice


def test_an_api_that_takes_any_credentials_is_found():
    open_to_all = first(say(401), say(200, "3.8.8"))
    fake = FakePrefect(broken={("GET", "/api/admin/version"): open_to_all})

    assert "with wrong credentials" in finding(fake, "auth closed").detail


def test_credentials_that_the_server_does_not_know_are_found():
    result = finding(FakePrefect(), "auth closed", auth="admin:other")

    assert "with our credentials the API answered 401" in result.detail
    assert "PREFECT_SERVER_API_AUTH_STRING" in result.advice


def test_a_server_error_is_not_taken_for_an_open_api():
    fake = FakePrefect(broken={("GET", "/api/admin/version"): say(500)})

    assert "Anybody" not in finding(fake, "auth closed").advice


def test_a_missing_login_is_advised_wherever_it_is_missed():
    result = finding(FakePrefect(), "version", auth="")

    assert "PREFECT_SERVER_API_AUTH_STRING" in result.advice


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
@pytest.mark.parametrize("status", [200, 307, 500])
def test_a_costly_page_that_is_not_closed_is_found(path, status):
    fake = FakePrefect(broken={("GET", path): say(status)})

    assert path in finding(fake, "costly pages closed").detail


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_costly_page_may_be_closed_in_any_way(status):
    fake = FakePrefect(broken={("GET", "/docs"): say(status)})

    assert probe(fake)["costly pages closed"].ok


@pytest.mark.parametrize(
    "broken",
    [
        {("GET", "/"): say(404)},
        {("GET", "/"): say(200, {"detail": "no UI here"})},
        {("GET", "/"): say(307, location="/")},
        {("GET", "/"): say(307, location="http://[")},
        {("GET", "/v2/"): say(500)},
        {("GET", "/ui-settings"): say(200, [])},
        {("GET", "/ui-settings"): say(200, {"auth": "BASIC"})},
        {("GET", "/ui-settings"): httpx.Response(200, html="<html>")},
    ],
)
def test_a_ui_that_is_not_served_is_found(broken):
    finding(FakePrefect(broken=broken), "ui")


def test_a_server_that_says_its_ui_is_off_passes_without_pages():
    off = {"server": {"ui": {"enabled": False}}}
    fake = FakePrefect(broken={("GET", "/"): say(404)}, settings=off)

    [result] = probe(fake, only="ui").values()

    assert (result.ok, result.detail) == (True, "off, by access.ui")


def test_a_ui_that_calls_an_address_no_browser_reaches_is_found():
    result = finding(FakePrefect(api_url="http://0.0.0.0:4200/api"), "ui")

    assert "0.0.0.0" in result.detail
    assert "PREFECT_SERVER_UI_API_URL" in result.advice


@pytest.mark.parametrize(
    ("address", "base_url", "usable"),
    [
        ("/api", "https://a.fly.dev", True),
        ("https://a.fly.dev/api", "https://a.fly.dev", True),
        ("https://a.fly.dev:443/api", "https://a.fly.dev/", True),
        ("http://a.fly.dev/api", "https://a.fly.dev", False),
        ("https://b.fly.dev/api", "https://a.fly.dev", False),
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4291", False),
        ("http://0.0.0.0:4200/api", "http://0.0.0.0:4200", False),
        ("http://[::]:4200/api", "http://[::]:4200", False),
        ("//b.test/api", "https://a.fly.dev", False),
        ("api", "https://a.fly.dev", False),
        ("", "https://a.fly.dev", False),
        ("None", "https://a.fly.dev", False),
    ],
)
def test_which_addresses_a_browser_can_use(address, base_url, usable):
    assert usable_in_browser(address, base_url) is usable


# The round trip


@pytest.mark.parametrize("word", ["REJECT", "WAIT", "ABORT"])
def test_a_state_that_is_refused_with_a_success_is_found(word):
    refusing = FakePrefect()
    original = refusing._api
    refusing._api = lambda request, path: (
        say(200, {"status": word}) if path.endswith("set_state") else original(request, path)
    )

    assert word in finding(refusing, "flow run").detail
    assert refusing.things == {}


@pytest.mark.parametrize(
    "broken",
    [
        {("POST", "/api/flows/"): say(500, {"detail": "boom"})},
        {("POST", "/api/flow_runs/"): say(409)},
        {("POST", "/api/logs/"): say(500)},
        {("POST", "/api/flow_runs/filter"): say(200, [])},
        {("GET", "/api/flow_runs/*"): say(200, {"state": {"type": "PENDING"}})},
        {("POST", "/api/flow_runs/"): httpx.ReadError("reset")},
        {("POST", "/api/flow_runs/"): "hang"},
    ],
)
def test_a_broken_step_is_found_and_nothing_is_left(broken):
    fake = FakePrefect(broken=broken)

    finding(fake, "flow run", limit_s=SHORT_S if "hang" in broken.values() else LIMIT_S)

    assert fake.things == {}


def test_a_run_that_stays_after_its_removal_is_found():
    deleted = {("DELETE", "/api/flow_runs/*"): say(204)}

    assert "still there" in finding(FakePrefect(broken=deleted), "flow run").detail


def test_a_busy_database_is_asked_again():
    busy = {
        ("DELETE", "/api/flows/*"): first(say(503), say(503)),
        ("POST", "/api/flows/"): first(say(503)),
    }
    fake = FakePrefect(broken=busy)

    results = probe(fake)

    assert all(result.ok for result in results.values()), results
    assert fake.things == {}


def test_a_database_that_stays_busy_is_told_in_bounded_time():
    fake = FakePrefect(broken={("POST", "/api/flows/"): say(503, {"detail": "locked"})})

    assert "locked" in finding(fake, "flow run", limit_s=30).detail


def test_what_cannot_be_removed_is_told():
    fake = FakePrefect(broken={("DELETE", "/api/flows/*"): say(500)})

    result = finding(fake, "flow run")

    assert "could not remove /flows/" in result.detail


def test_what_cannot_be_removed_does_not_hide_what_went_wrong_before():
    fake = FakePrefect(
        broken={
            ("POST", "/api/logs/"): say(500, {"detail": "the cause"}),
            ("DELETE", "/api/flows/*"): say(500),
        }
    )

    assert "the cause" in finding(fake, "flow run").detail


def test_leftovers_of_killed_smokes_go_but_only_old_ones_of_ours():
    fake = FakePrefect()
    fake.put("flows", name="roost-smoke-old", created="2026-11-23T10:59:59Z")
    young = fake.put("flows", name="roost-smoke-young", created="2026-11-23T11:00:01Z")
    others = fake.put("flows", name="my-roost-smoke-test", created="2020-01-01T00:00:00Z")

    assert probe(fake)["flow run"].ok
    assert set(fake.things) == {young["id"], others["id"]}


def test_leftovers_that_cannot_be_listed_do_not_fail_the_check():
    fake = FakePrefect(broken={("POST", "/api/flows/filter"): say(500)})

    assert probe(fake)["flow run"].ok


# The scheduler


def test_a_dead_scheduler_is_found_though_all_else_is_green():
    fake = FakePrefect(scheduler=False)

    results = probe(fake, limit_s=SHORT_S)

    assert [name for name, result in results.items() if not result.ok] == ["scheduler"]
    assert "no run was scheduled" in results["scheduler"].detail
    assert "log" in results["scheduler"].advice
    assert fake.things == {}


def test_a_scheduler_that_takes_its_time_is_waited_for():
    fake = FakePrefect(broken={("POST", "/api/flow_runs/count"): first(say(200, 0), say(200, 0))})

    assert probe(fake)["scheduler"].ok


def test_the_deployment_is_paused_before_it_is_removed():
    fake = FakePrefect()

    probe(fake, only="scheduler")

    verbs = [verb for verb, path in fake.asked if path.startswith("/api/deployments/")]
    assert verbs == ["POST", "PATCH", "DELETE"]


async def cancel_once(scope, happened):
    while not happened():  # noqa: ASYNC110 - the fake is asked from outside and sets no event
        await anyio.sleep(0.001)
    scope.cancel()


def test_a_cancelled_proof_leaves_nothing():
    fake = FakePrefect(scheduler=False)
    created = ("POST", "/api/deployments/")

    async def run():
        async with prefect_client(URL, 5, httpx.MockTransport(fake)) as http:
            server = Server(http, SecretText(LOGIN), poll_s=0.05)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel_once, scope, lambda: created in fake.asked)
                    async for _ in prove(server, CHECKS, anyio.current_time):
                        pass
            return scope.cancelled_caught

    assert virtual_time.run(run)
    assert created in fake.asked
    assert fake.things == {}


# Any answer at all


@given(
    place=st.sampled_from(
        [
            ("health", "GET", "/api/health"),
            ("ready", "GET", "/api/ready"),
            ("auth closed", "GET", "/api/admin/version"),
            ("version", "GET", "/api/admin/version"),
            ("database", "GET", "/roost/report"),
            ("database", "GET", "/api/admin/settings"),
            ("ui", "GET", "/ui-settings"),
            ("flow run", "POST", "/api/flows/"),
            ("flow run", "POST", "/api/flows/filter"),
            ("flow run", "POST", "/api/flow_runs/"),
            ("flow run", "POST", "/api/flow_runs/filter"),
            ("flow run", "GET", "/api/flow_runs/*"),
            ("flow run", "DELETE", "/api/flow_runs/*"),
            ("scheduler", "POST", "/api/flow_runs/count"),
            ("scheduler", "POST", "/api/deployments/"),
        ]
    ),
    status=st.sampled_from([200, 204, 301, 400, 500]),
    content=st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"null", b"[]", b"{}", b"7", b'"x"', b'{"id": 1}', b"[" * 5_000]),
        st.sampled_from([b'{"id": []}', b'[{"id": 1}]', b'{"state": 3}', b'[[["x"]]]', b"NaN"]),
    ),
)
@settings(deadline=None, max_examples=100)
def test_no_answer_breaks_the_proof(place, status, content):
    check, *path = place
    fake = FakePrefect(broken={tuple(path): httpx.Response(status, content=content)})

    for result in probe(fake, only=check, limit_s=SHORT_S).values():
        assert result.ok or (result.detail.isprintable() and result.advice)


def test_an_answer_that_echoes_our_credentials_is_not_shown():
    fake = FakePrefect(broken={("POST", "/api/flows/"): say(400, {"detail": f"who is {LOGIN}?"})})

    assert LOGIN not in str(finding(fake, "flow run"))


# Getting there


def test_a_name_below_localhost_is_this_machine_and_the_host_header_keeps_it():
    seen = []

    def answer(request):
        seen.append((request.url.host, request.url.port, request.headers["host"]))
        return say(307, location="/v2/") if request.url.path == "/" else say(200)

    async def run():
        transport = LoopbackNames(httpx.MockTransport(answer))
        async with httpx.AsyncClient(
            base_url="http://acme.localhost:4280", transport=transport
        ) as http:
            found = await http.get("/", follow_redirects=True)
            await http.get("http://localhost.test/")
            return str(found.url)

    assert virtual_time.run(run) == "http://acme.localhost:4280/v2/"
    assert seen == [
        ("127.0.0.1", 4280, "acme.localhost:4280"),
        ("127.0.0.1", 4280, "acme.localhost:4280"),
        ("localhost.test", None, "localhost.test"),
    ]


@pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/api", f"{URL}/api/"])
def test_an_address_with_api_at_its_end_is_the_same_server(url):
    assert all(result.ok for result in probe(FakePrefect(), url=url).values())


@pytest.mark.parametrize("url", ["", "acme", "http://", "ftp://acme.test", "http://a:port"])
def test_an_address_that_is_none_is_bad_input(url):
    with pytest.raises(UsageError):
        prefect_client(url, 5)
