"""Fly's proxy and its checks get an answer; only the proxy's requests count as wakes."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing

import pytest

from helpers.prefect_process import free_port
from roost_flows.errors import ImageError
from roost_flows.listener import Listener


@pytest.fixture
def listener():
    found = Listener("127.0.0.1", free_port())
    found.start()
    yield found
    found.close()


def get(listener, path="/", **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", listener.port, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("path", ["/", "/anything?x=1"])
def test_any_path_answers(listener, path):
    assert get(listener, path) == (200, b"a flow server of Roost\n")


def test_only_requests_through_the_proxy_are_wakes(listener):
    get(listener)
    assert listener.wakes == 0

    get(listener, **{"Fly-Request-Id": "01J"})
    assert listener.wakes == 1


def test_junk_ends_nothing(listener, capfd):
    with socket.create_connection(("127.0.0.1", listener.port)) as connection:
        connection.sendall(b"\x16\x03\x01\r\n\r\n")
        connection.recv(1024)

    assert get(listener)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_named(listener):
    with pytest.raises(ImageError, match=f"port {listener.port} of the machine is taken"):
        Listener("127.0.0.1", listener.port)
