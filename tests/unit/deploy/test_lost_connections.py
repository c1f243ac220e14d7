"""A request that fails because a connection was lost is one that clients repeat."""

from __future__ import annotations

import asyncio
import socket

import pytest

from helpers.asgi_calls import Client, Scripted, http
from roost_server.lost_connections import NOT_REPEATED, is_lost, repeat_lost


def named(module, name, *bases):
    """Return an error of a client library, which is not installed here."""
    kind = type(name, bases or (Exception,), {"__module__": module})
    return kind("lost")


def caused(error):
    """Return another error with this one as its cause."""
    outer = RuntimeError("the query failed")
    outer.__cause__ = error
    return outer


def timed_out(module, function):
    """Return the bare TimeoutError that a function of a module raised."""
    names = {"__name__": module}
    exec(f"def {function}(): raise TimeoutError('no answer')", names)
    try:
        names[function]()
    except TimeoutError as error:
        return error


LOST = [
    ConnectionRefusedError(111, "refused"),
    timed_out("asyncpg.connection", "connect"),
    caused(timed_out("asyncpg.connection", "connect")),
    named("redis.exceptions", "TimeoutError"),
    named("redis.exceptions", "OutOfMemoryError"),
    socket.gaierror(-2, "no such host"),
    named("asyncpg.exceptions", "CannotConnectNowError"),
    named("asyncpg.exceptions._base", "InterfaceError"),
    named("redis.exceptions", "ConnectionError"),
    named("redis.exceptions", "BusyLoadingError", type(named("redis.exceptions", "ConnectionError"))),
    caused(ConnectionResetError(104, "reset")),
]  # fmt: skip
OTHERS = [
    RuntimeError("lost"),
    FileNotFoundError("lost"),
    timed_out("asyncpg.connection", "execute"),
    named("app", "InterfaceError"),
    KeyError(),
]


def call(script):
    return asyncio.run(Client().call(repeat_lost(Scripted(script)), http(path="/api/flows/")))


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_lost_connection_is_answered_with_what_clients_repeat(error):
    assert is_lost(error)
    assert call([(500, error)]).statuses == [503]


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_any_other_error_stays_as_it_is(error):
    assert not is_lost(error)
    with pytest.raises(type(error)):
        call([(500, error)])


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_a_reply_that_is_no_lost_connection_passes(status):
    assert call([status]).statuses == [status]


@pytest.mark.parametrize("path", sorted(NOT_REPEATED))
def test_a_request_that_may_have_changed_something_is_not_one_that_clients_repeat(path):
    app, client = repeat_lost(Scripted([(500, ConnectionResetError(104, "reset"))])), Client()

    with pytest.raises(ConnectionResetError):
        asyncio.run(client.call(app, http(path=path)))
    assert client.statuses == [500]
