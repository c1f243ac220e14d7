"""The weather of `localfly serve --weather`: its file, and what it does to requests."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from localfly.api.weather import BadWeather, Buckets
from localfly.errors import WeatherError
from localfly.state.weather import Weather, bad_weather, parse_weather, read_weather

MACHINES = "/v1/apps/acme/machines"


async def fly(scope, _receive, send):
    """Answer as an API: the calls that came, a list of machines, or a new one."""
    fly.calls.append(f"{scope['method']} {scope['path']}")
    body = {"id": "m1"} if scope["method"] == "POST" else [{"id": "m0"}, {"id": "m1"}]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def read(self):
        """Return the time."""
        return self.now


def ask(weather, *calls, clock=None):
    """Send calls in order, `VERB PATH` each, and return statuses and bodies; cut ones are "cut"."""
    fly.calls = []
    app = BadWeather(fly, weather, (clock or Clock()).read)

    async def scenario():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://fly") as client:
            return [await one(client, call) for call in calls]

    async def one(client, call):
        if callable(call):
            return call()
        verb, path = call.split(" ")
        try:
            answer = await client.request(verb, path)
        except AssertionError:  # httpx's transport, where a response has no end
            return "cut"
        return answer.status_code, answer.json()

    return asyncio.run(scenario())


def statuses(answers):
    return [answer if answer == "cut" else answer[0] for answer in answers]


def test_a_file_describes_a_weather():
    text = "seed: 3\nlatency_s: 0.5\nrate_limits: true\nrefused: 0.1\nlost: 1\n"

    assert parse_weather(text, "w.yaml") == Weather(3, 0.5, rate_limits=True, refused=0.1, lost=1)
    assert parse_weather("", "w.yaml") == Weather()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("refuse: 0.1", "w.yaml: there is no key refuse. Did you mean refused?"),
        ("wind: 1", "w.yaml: there is no key wind. Keys: seed, latency_s, rate_limits, "),
        ("lost: 2", "w.yaml: lost is 2. Allowed: a number from 0 to 1."),
        ("lost: true", "w.yaml: lost is True. Allowed: a number from 0 to 1."),
        ("rate_limits: 1", "w.yaml: rate_limits is 1. Allowed: true or false."),
        ("latency_s: 1h", "w.yaml: latency_s is '1h'. Allowed: seconds from 0 to 60."),
        ("unseen_s: .nan", "w.yaml: unseen_s is nan. Allowed: seconds from 0 to 60."),
        ("seed: true", "w.yaml: seed is True. Allowed: a whole number."),
        ("- lost", "w.yaml has no keys. Keys: seed, "),
        ("lost: [", "w.yaml is not YAML: "),
    ],
)
def test_what_is_no_weather_is_told_with_file_key_and_allowed_values(text, said):
    with pytest.raises(WeatherError) as refused:
        parse_weather(text, "w.yaml")

    assert str(refused.value).startswith(said)


def test_a_seed_is_bad_weather_and_a_missing_file_is_told(tmp_path):
    assert read_weather("7") == bad_weather(7)
    with pytest.raises(WeatherError, match=r"nowhere\.yaml cannot be read: .* a whole number"):
        read_weather(str(tmp_path / "nowhere.yaml"))


CALLS = [f"{verb} {MACHINES}" for verb in ("GET", "POST") for _ in range(30)]
STORM = {"refused": 0.3, "lost": 0.3, "no_capacity": 0.3}


def test_the_same_seed_and_requests_have_the_same_weather_in_any_order():
    first, again = ask(Weather(1, **STORM), *CALLS), ask(Weather(1, **STORM), *CALLS)
    turned = ask(Weather(1, **STORM), *reversed(CALLS))
    other = ask(Weather(2, **STORM), *CALLS)

    assert first == again == [*turned[30:], *turned[:30]]
    assert statuses(other) != statuses(first)
    assert {409, 412, 422, 500, 502, 503, 504, "cut", 200} <= {*statuses(first), *statuses(other)}


def test_a_refused_request_has_no_effect_and_a_lost_answer_had_one():
    assert statuses(ask(Weather(refused=1), f"POST {MACHINES}"))[0] >= 500
    assert fly.calls == []

    assert statuses(ask(Weather(lost=1), f"POST {MACHINES}"))[0] in (502, "cut")
    assert fly.calls == [f"POST {MACHINES}"]


def test_reads_are_never_lost_as_asking_again_is_harmless():
    assert statuses(ask(Weather(lost=1), f"GET {MACHINES}")) == [200]


def test_above_flys_rate_a_request_is_a_429_until_time_passes():
    clock = Clock()
    stop = f"POST {MACHINES}/m1/stop"

    def later():
        clock.now += 1
        return None, None

    answers = ask(Weather(rate_limits=True), *[stop] * 4, later, *[stop] * 2, clock=clock)

    assert statuses(answers) == [200, 200, 200, 429, None, 200, 429]
    assert answers[3][1] == {"error": "rate limit exceeded"}


def test_rates_are_those_of_one_machine_and_one_action():
    calls = [
        f"POST {MACHINES}/{machine}/{action}" for machine in "ab" for action in ("start", "stop")
    ]

    assert set(statuses(ask(Weather(rate_limits=True), *calls * 3))) == {200}
    assert statuses(ask(Weather(rate_limits=True), *[f"GET {MACHINES}/a"] * 11))[-2:] == [200, 429]


def test_a_bucket_never_holds_more_than_its_burst():
    buckets = Buckets()

    assert [buckets.take("x", 1, 3, 1000) for _ in range(4)] == [True, True, True, False]
    assert [buckets.take("x", 1, 3, 9999) for _ in range(4)] == [True, True, True, False]


def test_what_was_just_made_is_missing_in_lists_and_a_404_at_first():
    clock = Clock()

    def later():
        clock.now += 2
        return None, None

    look = (f"GET {MACHINES}", f"GET {MACHINES}/m1", f"GET {MACHINES}/m1/wait")
    answers = ask(Weather(unseen_s=2), f"POST {MACHINES}", *look, later, *look, clock=clock)

    assert answers[1] == (200, [{"id": "m0"}])
    assert statuses(answers)[2:4] == [404, 404]
    assert answers[5] == (200, [{"id": "m0"}, {"id": "m1"}])
    assert statuses(answers)[6:] == [200, 200]


def test_the_local_flys_own_endpoints_have_no_weather():
    assert statuses(ask(Weather(refused=1), "GET /localfly/status")) == [200]
