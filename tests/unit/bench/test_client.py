"""The client and the counting door of the benchmarks, against a real small server."""

from __future__ import annotations

import json
import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.client import UNANSWERED, Client, basic, wait_well
from bench.errors import BenchError
from helpers.api_door import counting
from helpers.waiting import LIMIT_S


class Handler(BaseHTTPRequestHandler):
    """Echoes what it was sent; can fail, hang, and close without a word."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Report nothing."""

    def answer(self):
        """Answer by path."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path == "/hang":
            self.server.over.wait()
        told = {"method": self.command, "body": body, "login": self.headers.get("Authorization")}
        content = json.dumps(told).encode()
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.path == "/close"  # and the client is not told

    do_GET = do_POST = answer  # noqa: N815 - http.server names them so


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.over = threading.Event()
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.over.set()
    server.shutdown()
    server.server_close()
    serving.join()


def test_json_goes_out_with_the_login_and_comes_back(url):
    with Client(url, basic("admin:pw")) as client:
        answer = client.post("/", {"a": 1})

    assert answer.well
    assert answer.json() == {"method": "POST", "body": '{"a": 1}', "login": "Basic YWRtaW46cHc="}


def test_a_refusal_is_an_answer_whose_body_is_not_taken_for_a_good_one(url):
    with Client(url) as client:
        answer = client.get("/busy")

    assert (answer.status, answer.well) == (503, False)
    with pytest.raises(BenchError, match="503"):
        answer.json()


def test_a_request_that_hangs_is_unanswered_after_its_limit_and_the_next_one_is_not(url):
    with Client(url, limit_s=1) as client:
        hung, after = client.get("/hang"), client.get("/")

    assert (hung.status, after.well) == (UNANSWERED, True)
    assert hung.took_s >= 1


def test_a_connection_that_the_server_closed_meanwhile_costs_no_request(url):
    with Client(url) as client:
        client.get("/close")
        # The end of a connection is seen as something to read.
        assert select.select([client._connection.sock], [], [], LIMIT_S)[0]
        assert client.get("/").well


def test_nobody_there_is_unanswered():
    with Client("http://127.0.0.1:1") as client:
        assert client.get("/").status == UNANSWERED


def test_waiting_ends_with_the_moment_of_the_good_answer_or_with_none(url):
    assert wait_well(url, "/", 5) is not None
    assert wait_well(url, "/busy", 0.05) is None


def test_a_door_passes_everything_on_and_counts_it(url):
    with counting(url) as door, Client(door.url, basic("admin:pw")) as client:
        answers = [client.get("/"), client.post("/", [1]), client.get("/busy")]

    assert [answer.status for answer in answers] == [200, 200, 503]
    assert answers[1].json()["body"] == "[1]"
    assert answers[1].json()["login"] == "Basic YWRtaW46cHc="
    assert door.methods == ["GET", "POST", "GET"]
