"""The checks of a flow server, against a Prefect server that answers as Roost's image does."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest

from roost.prefect.flow_server_checks import FlowServerSubject, flow_server_checks, read_record
from roost.prefect.probe import Server, prove
from roost.prefect.server import CheckFailedError

SUBJECT = FlowServerSubject("nightly", "staging.nightly", frozenset({"V2"}))
RECORD = {
    "name": "nightly",
    "version": "V2",
    "prefect": "3.9.1",
    "online_at": "2026-11-30T10:00:00Z",
    "polled_at": "2026-11-30T10:00:05Z",
    "deployments": [{"id": "d"}, {"id": "e"}],
    "pools": [],
}
RUN = {"id": "r", "state": {"type": "COMPLETED"}}
LOG = {"message": "roost canary of nightly, version V2"}


class Answers:
    """Answers of a server, each a list whose last one stays; requests are kept."""

    def __init__(self, **given):
        self.given = {
            "records": [RECORD],
            "runs": [[RUN]],
            "logs": [[LOG]],
            "listing": [{"flow_servers": []}],
            **given,
        }
        self.asked: list[str] = []

    def next(self, key):
        """Return the next answer of a kind."""
        answers = self.given[key]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def __call__(self, request):
        """Answer a request."""
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        if path == "/api/ready":
            return httpx.Response(200, json=True)
        if path.endswith("/wake"):
            return httpx.Response(202)
        keys = {
            "/roost/flow-servers": "listing",
            "/roost/flow-servers/nightly": "records",
            "/api/flow_runs/filter": "runs",
            "/api/logs/filter": "logs",
        }
        if path not in keys:
            return httpx.Response(404)
        found = self.next(keys[path])
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)


async def results_of(answers):
    """Run the checks of a flow server and return their results by name."""
    transport = httpx.MockTransport(answers)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        server = Server(http, poll_s=0.001)
        ticks = iter(range(1000))
        checks = flow_server_checks(SUBJECT)
        return {r.name: r async for r in prove(server, checks, lambda: float(next(ticks)))}


@pytest.mark.anyio
async def test_a_flow_server_that_works_passes():
    results = await results_of(Answers())

    assert [name for name, result in results.items() if not result.ok] == []
    assert list(results) == ["server", "online", "canary run", "asks for work"]
    assert results["asks for work"].detail == "2 deployments"


@pytest.mark.anyio
async def test_it_is_woken_until_its_new_version_is_online():
    answers = Answers(records=[None, None, {**RECORD, "version": "V1"}, RECORD])

    results = await results_of(answers)

    assert results["online"].ok
    assert "POST /roost/flow-servers/nightly/wake" in answers.asked


@pytest.mark.anyio
async def test_one_that_sleeps_since_it_was_online_is_woken_once():
    """Its record is current, and Fly reports its machine as suspended."""
    answers = Answers()

    results = await results_of(answers)

    assert results["online"].ok
    assert answers.asked.count("POST /roost/flow-servers/nightly/wake") == 1


@pytest.mark.anyio
async def test_a_server_of_an_older_image_is_named():
    results = await results_of(Answers(listing=[None]))

    assert not results["online"].ok
    assert "Apply the environment first" in results["online"].advice
    assert "canary run" not in results


@pytest.mark.anyio
@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED"])
async def test_a_canary_that_ends_badly_fails_at_once(state):
    run = {"id": "r", "state": {"type": state, "message": "No module named 'prefect'"}}

    results = await results_of(Answers(runs=[[], [run]]))

    assert results["canary run"].detail == (
        f"its canary's run ended {state}: No module named 'prefect'"
    )


@pytest.mark.anyio
async def test_the_canary_must_run_and_its_log_arrive():
    running = {"id": "r", "state": {"type": "RUNNING"}}
    answers = Answers(runs=[[], [running], [RUN]], logs=[[], [{"message": "other"}], [LOG]])

    results = await results_of(answers)

    assert results["canary run"].ok
    assert answers.asked.count("POST /api/logs/filter") == 3


@pytest.mark.anyio
async def test_a_poll_from_before_it_was_online_does_not_count():
    before = {**RECORD, "polled_at": "2026-11-30T09:00:00Z"}

    results = await results_of(Answers(records=[RECORD, RECORD, RECORD, before, before, RECORD]))

    assert results["asks for work"].ok


@pytest.mark.anyio
async def test_a_worker_is_named_by_its_pool():
    results = await results_of(Answers(records=[{**RECORD, "deployments": [], "pools": ["p"]}]))

    assert results["asks for work"].detail == "pool p"


def test_a_flow_server_may_take_its_whole_time_to_stop_before_the_new_one_comes():
    """A running flow holds the former start, and the gate must not call that a failure."""
    limits = {check.name: check.limit_s for check in flow_server_checks(SUBJECT)}
    longer = flow_server_checks(replace(SUBJECT, stop_s=300))

    assert {check.name: check.limit_s for check in longer} == {
        **limits,
        "online": limits["online"] + 300,
    }


@pytest.mark.anyio
async def test_the_record_of_a_stranger_is_none():
    def answer(_):
        return httpx.Response(404, content=json.dumps({"detail": "Not Found"}))

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(answer), base_url="http://server"
    ) as http:
        assert await read_record(Server(http), "nightly") is None


@pytest.mark.anyio
async def test_another_login_is_named_with_what_to_set():
    transport = httpx.MockTransport(lambda _: httpx.Response(401))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        with pytest.raises(CheckFailedError) as refused:
            await read_record(Server(http), "nightly")

    assert "refuses the login" in refused.value.detail
    assert "PREFECT_SERVER_API_AUTH_STRING" in refused.value.advice
