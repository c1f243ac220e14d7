"""A proxy in the variables of a machine: what is private on Fly.io is reached without it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import proxy_bypass

import httpx
import pytest

from helpers.environments import PRIVATE, environment_file
from helpers.flow_folders import NIGHTLY
from roost.environment.flow_units import flow_units
from roost.environment.model import AUTH_SECRET
from roost.plan.flow_machine import flow_machine_config
from roost.plan.machine_config import environment_variables
from roost.plan.proxy_bypass import bypass

PROXY = {"HTTPS_PROXY": "http://proxy.internal:3128"}
OURS = "localhost,127.0.0.1,::1,.flycast,.internal"
IMAGE = "registry.fly.io/acme-prefect-nightly:prefect-3.8.8-0123456789ab"


@pytest.mark.parametrize(
    ("variables", "secrets", "added"),
    [
        ({"TZ": "UTC"}, [], {}),
        ({"NO_PROXY": "a.example"}, [], {}),
        (PROXY, [], {"NO_PROXY": OURS}),
        ({"all_proxy": "socks5://x"}, [], {"NO_PROXY": OURS}),
        ({}, ["HTTP_PROXY"], {"NO_PROXY": OURS}),
        ({**PROXY, "no_proxy": " a.example , .internal"}, [], {
            "no_proxy": "a.example,.internal,localhost,127.0.0.1,::1,.flycast"
        }),
        ({**PROXY, "NO_PROXY": "a", "no_proxy": "b"}, [], {
            "NO_PROXY": f"a,{OURS}", "no_proxy": f"b,{OURS}"
        }),
        ({**PROXY, "NO_PROXY": "*"}, [], {"NO_PROXY": "*"}),
        (PROXY, ["no_proxy"], {}),
    ],
)  # fmt: skip
def test_what_is_reached_directly_is_added_where_there_is_a_proxy(variables, secrets, added):
    assert bypass(variables, secrets) == added


def test_a_server_without_a_proxy_has_the_variables_it_had():
    assert "NO_PROXY" not in environment_variables(environment_file().environment)


def test_a_server_has_it_beside_its_own_variables():
    file = environment_file(environment=PROXY)

    found = environment_variables(file.environment)

    assert (found["HTTPS_PROXY"], found["NO_PROXY"]) == (PROXY["HTTPS_PROXY"], OURS)


@pytest.mark.parametrize(
    ("access", "host"), [({}, "acme-prefect.fly.dev"), (PRIVATE, "acme-prefect.flycast")]
)
@pytest.mark.parametrize(
    "with_proxy",
    [{"environment": PROXY}, {"secrets": ["HTTPS_PROXY"]}],
    ids=["a variable", "a secret"],
)
def test_a_flow_server_reaches_its_prefect_server_directly(access, host, with_proxy):
    [unit] = flow_units(environment_file(access, flows=[{**NIGHTLY, **with_proxy}]))

    env = flow_machine_config(unit, unit.flow, IMAGE, "app-1")["env"]

    assert env["NO_PROXY"] == f"{OURS},{host}"
    assert host in env["PREFECT_API_URL"]


def test_a_secret_of_the_server_alone_is_no_proxy_of_its_flow_servers():
    file = environment_file(secrets=[AUTH_SECRET, "HTTPS_PROXY"], flows=[NIGHTLY])
    [unit] = flow_units(file)

    assert "NO_PROXY" not in flow_machine_config(unit, unit.flow, IMAGE, "app-1")["env"]
    assert environment_variables(file.environment)["NO_PROXY"] == OURS


# What programs make of it


class Answer(BaseHTTPRequestHandler):
    """Answers everything, and says which server it is."""

    def do_GET(self):
        """Answer one request."""
        body = self.server.name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Write nothing."""


@pytest.fixture
def serve():
    """Starts servers that answer with their name."""
    started = []

    def start(name):
        server = HTTPServer(("127.0.0.1", 0), Answer)
        server.name = name
        started.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_httpx_as_in_prefect_s_client_asks_the_proxy_for_the_rest_alone(serve, monkeypatch):
    proxy, direct = serve("proxy"), serve("direct")
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", bypass({"HTTP_PROXY": proxy}, [])["NO_PROXY"])

    assert httpx.get("http://somewhere.example").text == "proxy"
    assert httpx.get(direct).text == "direct"
    for address in ("http://acme-prefect.flycast/api", "http://acme-prefect.internal:8080"):
        with pytest.raises(httpx.ConnectError):  # no such name here, and no proxy was asked
            httpx.get(address)


@pytest.mark.parametrize(
    ("host", "is_direct"),
    [
        ("acme-prefect.flycast", True),
        ("db.internal:5432", True),
        ("127.0.0.1:4200", True),
        ("acme-prefect.fly.dev", True),
        ("other.fly.dev", False),
        ("notflycast", False),
    ],
)
def test_the_standard_library_as_in_prefect_s_websockets_reads_it_alike(
    monkeypatch, host, is_direct
):
    monkeypatch.delenv("no_proxy", raising=False)
    for name, value in {**PROXY, **bypass(PROXY, [], ["acme-prefect.fly.dev"])}.items():
        monkeypatch.setenv(name, value)

    assert bool(proxy_bypass(host)) is is_direct
