"""`doctor --client`: a person's settings, and the way to a server on real sockets, one fault at a time."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest

from helpers.fake_prefect import LOGIN
from helpers.raw_server import raw_server
from roost.doctor.client_address import same_place
from roost.doctor.client_facts import LoggedIn, Reached, Server, Settings, Step
from roost.doctor.client_findings import (
    login_findings,
    reach_findings,
    settings_findings,
    url_fault,
)
from roost.doctor.client_probe import reach
from roost.doctor.client_settings import without_login
from roost.prefect.transport import prefect_client

SERVER = Server("https://acme-prefect.fly.dev/api", "staging")
GOOD = Settings("3.9.1", SERVER.url, has_login=True, profile="acme", profiles={"acme": SERVER.url})
# A Prefect that waits, as the program does that it is handed, and has the settings in `answer`.
PYTHON = """#!{python}
import pathlib, sys
here = pathlib.Path(__file__).parent
mark = "roost-doctor "
print("a plugin says something first")
print(mark + (here / "answer").read_text(), flush=True)
if sys.stdin.readline().strip():
    (here / "asked").touch()
    print(mark + (here / "login").read_text(), flush=True)
"""
LOGGED_IN = {"status": 200, "version": "3.9.1"}


class Person:
    """A Prefect on the PATH of a person, with these settings."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name in ("prefect", "python"):
            program = folder / name
            program.write_text(PYTHON.format(python=sys.executable))
            program.chmod(0o755)
        self.has()

    def has(self, url="", login=LOGGED_IN, **settings):
        """Set what counts for it, and what its call returns."""
        profiles = {"acme": url} if url else {}
        known = {"prefect": "3.9.1", "url": url, "profile": "acme", "profiles": profiles}
        found = {**known, "has_login": True, "has_key": False, **settings}
        (self.folder / "answer").write_text(json.dumps(found))
        (self.folder / "login").write_text(json.dumps(login))

    @property
    def was_asked(self):
        """Whether its call was sent."""
        return (self.folder / "asked").exists()


@pytest.fixture
def person(tmp_path, monkeypatch, roost, clients):  # noqa: ARG001 - `roost` clears the variables first
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("FLY_API_TOKEN")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    clients.use(prefect=prefect_client)
    return Person(tmp_path / "bin")


def reply(status, body=b"", *headers):
    """Return what answers every request on a raw socket."""
    head = [b"HTTP/1.1 %d x" % status, b"Content-Length: %d" % len(body), b"Connection: close"]
    whole = b"\r\n".join([*head, *headers, b"", body])
    return lambda connection: connection.sendall(whole)


def wrong(said):
    return [line for line in said.out.splitlines() if line.startswith("wrong")]


def test_a_client_that_reaches_its_server_is_well(roost, person):
    with raw_server(reply(200, b"true")) as server:
        person.has(f"{server.url}/api")
        said = roost("doctor", "--client", "--url", f"{server.url}/api")

    assert (said.code, wrong(said), said.err) == (0, [], "")
    assert "Prefect 3.9.1 fits the server's 3.9.1" in said.out
    assert person.was_asked


def test_a_closed_port_another_program_and_a_server_that_does_not_start_are_told_apart(
    roost, person
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/api"
        person.has(closed)
        assert "refuses the connection" in roost("doctor", "--client").out
    for status, body, told in (
        (404, b"<html>", "is not a Prefect server"),
        (200, b"<html>", "is not a Prefect server"),
        (503, b"", "answers 503: the server behind it does not start"),
        (407, b"", "is not a Prefect server"),
        (403, b"", "asks for a login of its own"),
    ):
        with raw_server(reply(status, body)) as server:
            person.has(f"{server.url}/api")
            said = roost("doctor", "--client")
        assert said.code == 2
        assert told in " ".join(said.out.split())
    assert not person.was_asked


def test_a_redirect_to_https_names_the_address_to_set(roost, person):
    there = b"Location: https://acme-prefect.fly.dev/api/health"
    with raw_server(reply(301, b"", there)) as server:
        url = f"{server.url}/api"
        person.has(url)
        said = roost("doctor", "--client")

    assert "wants https" in said.out
    assert f"prefect config set PREFECT_API_URL={url.replace('http', 'https')}" in said.out


def test_a_port_without_tls_and_a_certificate_that_nobody_signed_are_told_apart(
    roost, person, tmp_path
):
    with accepting(reply(400)) as url:
        person.has(f"{url}/api")
        assert "does not speak TLS on that port" in roost("doctor", "--client").out

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with accepting(lambda one: context.wrap_socket(one, server_side=True).close()) as url:
        person.has(f"{url}/api")
        said = roost("doctor", "--client")
    assert "is signed by nobody that this computer trusts" in " ".join(said.out.split())
    assert "PREFECT_API_SSL_CERT_FILE" in said.out


def test_the_certificates_that_prefect_trusts_are_trusted(roost, person, tmp_path):
    file = self_signed(tmp_path)
    for trust in ({"ssl_cert_file": str(file)}, {"insecure": True}):
        with tls_server(file, reply(200, b"true")) as url:
            person.has(f"{url}/api", **trust)
            said = roost("doctor", "--client")
        assert (said.code, wrong(said)) == (0, []), trust
        (tmp_path / "bin" / "asked").unlink()

    person.has("https://127.0.0.1:9/api", ssl_cert_file=str(tmp_path / "none.pem"))
    said = roost("doctor", "--client")
    assert "names a file that cannot be read" in " ".join(said.out.split())
    assert "none.pem" in said.out


def test_without_a_prefect_the_variables_name_the_certificates(
    roost, person, monkeypatch, tmp_path
):
    file = self_signed(tmp_path)
    (person.folder / "prefect").unlink()
    monkeypatch.setenv("PREFECT_API_SSL_CERT_FILE", str(file))
    with tls_server(file, reply(200, b'"3.9.1"'), 2) as url:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        said = roost("doctor", "--client")

    assert "is not a Prefect server" in said.out


def test_a_server_behind_a_proxy_is_reached_through_it(roost, person, monkeypatch):
    person.has("http://prefect.test.invalid/api")
    with raw_server(reply(200, b"true")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removeprefix("http://"))
        said = roost("doctor", "--client")
        assert (said.code, wrong(said)) == (0, [])
        assert proxy.connections == 2
        monkeypatch.setenv("NO_PROXY", "test.invalid")
        assert "prefect.test.invalid is not found" in roost("doctor", "--client").out
        assert proxy.connections == 2


def test_a_proxy_that_lets_nobody_through_is_named_without_its_login(roost, person, monkeypatch):
    person.has("https://prefect.test.invalid/api")
    with raw_server(reply(403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", f"://{LOGIN}@"))
        said = roost("doctor", "--client")
    assert "the proxy of this computer does not let" in said.out
    assert LOGIN.partition(":")[2] not in said.out + said.err

    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    said = roost("doctor", "--client")
    assert said.code == 2
    assert "Roost cannot use a proxy of this kind" in said.out


def test_a_database_that_answers_late_is_no_clock_that_is_wrong():
    started = datetime.now(UTC).replace(microsecond=0)
    asked = []

    def answer(connection):
        asked.append(connection)
        date = format_datetime(started, usegmt=True).encode()
        reply(200, b"true", b"Date: " + date)(connection)

    def now():
        """Return a clock that has moved by a minute once /ready was asked."""
        return started + timedelta(minutes=len(asked) - 1)

    with raw_server(answer) as server:
        reached = anyio.run(reach, Settings("3.9.1", f"{server.url}/api"), now)

    assert (len(asked), reached.ready, reached.clock_s) == (2, 200, 0)


def test_the_time_at_which_a_server_fell_asleep_is_no_clock_that_is_wrong():
    woken = datetime.now(UTC).replace(microsecond=0)
    asked = []

    def answer(connection):
        asked.append(connection)
        at = woken - timedelta(hours=1) if len(asked) <= 2 else woken
        date = format_datetime(at, usegmt=True).encode()
        reply(200, b"true", b"Date: " + date)(connection)

    with raw_server(answer) as server:
        reached = anyio.run(reach, Settings("3.9.1", f"{server.url}/api"), lambda: woken)

    assert (len(asked), reached.clock_s) == (3, 0)


@contextmanager
def tls_server(file, script, times=3):
    """Answer over TLS with a certificate: the port by itself, /health, /ready, and more if asked to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as stream:
            received = b""
            while b"\r\n\r\n" not in received:
                if not (more := stream.recv(65536)):
                    return
                received += more
            script(stream)

    with accepting(serve, times) as url:
        yield url


@contextmanager
def accepting(serve, times=1):
    """Accept so many connections, without waiting for a request of HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            for _ in range(times):
                with suppress(OSError):  # the client may be gone
                    connection, _ = listener.accept()
                    with connection:
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def self_signed(folder):
    """Make a certificate for this computer that nobody signed."""
    openssl = shutil.which("openssl")
    assert openssl
    file = folder / "own.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [openssl, "req", *options, *subject, "-keyout", file, "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (folder / "cert.pem").read_text())
    return file


@pytest.mark.parametrize(
    ("settings", "login", "told", "command"),
    [
        ({"has_login": False}, 401, "the server wants a login", "config set PREFECT_API_AUTH_STRING"),
        ({}, 401, "the server refuses the login", "config set PREFECT_API_AUTH_STRING"),
        ({"has_key": True}, 401, "PREFECT_API_KEY is set, is sent instead", "unset PREFECT_API_KEY"),
        ({}, 500, "Prefect got no good answer (500)", "doctor ENV --wake"),
    ],
)  # fmt: skip
def test_a_refused_login_names_its_cause(roost, person, settings, login, told, command):
    with raw_server(reply(200, b"true")) as server:
        person.has(f"{server.url}/api", login={"status": login, "words": "x"}, **settings)
        said = roost("doctor", "--client")

    assert said.code == 2
    assert told in " ".join(said.out.split())
    assert command in said.out


def test_a_client_that_does_not_fit_the_server_gets_the_version_to_install(roost, person):
    with raw_server(reply(200, b"true")) as server:
        person.has(f"{server.url}/api", prefect="3.6.13")
        said = roost("doctor", "--client")

    assert "Prefect 3.6.13 here does not fit the server's 3.9.1" in said.out
    assert 'pip install "prefect==3.9.1"' in said.out


@pytest.mark.usefixtures("person")
def test_without_a_prefect_the_variables_count_and_no_login_is_printed(
    roost, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", LOGIN)
    with raw_server(reply(200, b"true")) as server:
        place = server.url.replace("://", f"://{LOGIN}@")
        monkeypatch.setenv("PREFECT_API_URL", f"{place}/api")
        said = roost("doctor", "--client", "--json")

    assert "only the variables of this shell were read" in said.out.lower()
    assert LOGIN.partition(":")[2] not in said.out + said.err


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["staging", "--client", "--url", "https://x/api"], "--client takes one environment, or --url."),
        (["--client", "--database"], "--database and --client exclude each other."),
        (["--url", "https://x/api"], "--url goes with --client."),
        (["--wake"], "--wake goes with an environment."),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused(roost, fly, options, told):
    said = roost("doctor", *options)

    assert said.code == 3
    assert told in said.err
    assert fly.asked == []


@pytest.mark.parametrize(
    ("settings", "server", "told", "command"),
    [
        (Settings("3.9.1"), SERVER, "PREFECT_API_URL is not set", "roost connect staging"),
        (Settings("3.9.1", "acme/api"), SERVER, "is no address", "roost connect staging"),
        (Settings("3.9.1", "http://[::1/api"), SERVER, "is no address", "roost connect staging"),
        (Settings("3.9.1", "http://h:abc/api"), SERVER, "is no address", "roost connect staging"),
        (
            Settings(
                "3.9.1", "https://other.fly.dev/api", profile="acme", profiles={"acme": SERVER.url}
            ),
            SERVER,
            "a file of this folder wins over every profile",
            "[]",
        ),
        (
            Settings("3.9.1", "https://acme-prefect.fly.dev"),
            Server(),
            "ends in the host, not in /api",
            "prefect config set PREFECT_API_URL=https://acme-prefect.fly.dev/api",
        ),
        (
            Settings("3.9.1", "https://other.fly.dev/api", profiles={"acme": SERVER.url}),
            SERVER,
            "another profile is active",
            "prefect profile use acme",
        ),
        (
            Settings("3.9.1", "https://other.fly.dev/api", overriding=("PREFECT_API_URL",)),
            SERVER,
            "of this shell wins over every profile",
            "unset PREFECT_API_URL",
        ),
    ],
)
def test_what_the_settings_say_by_themselves(settings, server, told, command):
    fault = url_fault(settings, server)

    assert fault is not None
    assert told in fault.what
    assert command in str(fault.document()["commands"])


def test_the_source_of_an_address_is_the_file_where_the_profile_has_another():
    there = replace(GOOD, url="http://x.example/api")
    for settings, source in (
        (GOOD, "(profile acme)"),
        (there, "(from .env, prefect.toml or pyproject.toml)"),
        (replace(there, profile="local", profiles={}), "(profile local)"),
        (replace(there, overriding=("PREFECT_API_URL",)), "PREFECT_API_URL of this shell"),
    ):
        [check] = settings_findings(settings, Server())
        assert source in check.what


@pytest.mark.parametrize(
    ("state", "sleeps"),
    [("stopped, suspended", True), ("suspended", True), ("started, suspended", False), ("", False)],
)
def test_a_server_sleeps_if_each_of_its_machines_does(state, sleeps):
    assert Server(state=state).sleeps is sleeps


def test_without_a_local_fly_there_is_no_server_to_compare_with(roost, person):
    person.has("http://127.0.0.1:9/api")

    said = roost("doctor", "staging", "--client", "--local")

    assert said.code == 3
    assert "The local Fly does not run." in said.err


@pytest.mark.parametrize(
    ("url", "location", "told"),
    [
        ("http://h/api", "https://h/api/health", "wants https"),
        ("https://h/api", "https://login.example/in?token=abc", "redirects to login.example"),
        ("http://h/api", "http://[::1", "redirects to another path"),
        ("http://h/api", "/login?token=abc", "redirects to another path"),
    ],
)
def test_a_redirect_is_told_without_its_query(url, location, told):
    reached = Reached(Step.ANSWERED, status=302, location=location)

    [check] = reach_findings(Settings("3.9.1", url), Server(), reached)

    assert told in check.what
    assert "abc" not in str(check.document())


def test_addresses_of_one_server_are_one():
    assert url_fault(GOOD, SERVER) is None
    assert same_place("http://acme.localhost:8080/api", "http://127.0.0.1:8080/api")
    assert not same_place("http://[::1/api", "http://[::1/api")
    assert not same_place("http://127.0.0.1:8081/api", "http://127.0.0.1:8080/api")


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        (Reached(Step.NO_NAME, "x"), "is not found"),
        (Reached(Step.TIMEOUT, "x"), "does not answer (timeout)"),
        (Reached(Step.NO_ROUTE, "x"), "does not answer (no route)"),
        (Reached(Step.BROKEN, "x"), "ended the connection"),
        (Reached(Step.TLS, "certificate has expired"), "not valid at this computer's time"),
        (Reached(Step.TLS, "Hostname mismatch"), "is for another host"),
        (Reached(Step.ANSWERED, status=200, is_prefect=True, ready=503), "its database does not"),
        (
            Reached(Step.ANSWERED, status=200, is_prefect=True, ready=200, clock_s=120.0),
            "clock is 120 s behind the server's",
        ),
    ],
)
def test_each_step_that_fails_has_a_finding(reached, told):
    found = [check.what for check in reach_findings(GOOD, SERVER, reached)]

    assert any(told in what for what in found)


def test_a_call_that_got_no_answer_leads_to_the_server():
    [check] = login_findings(GOOD, SERVER, LoggedIn(words="ReadTimeout"))

    assert "ReadTimeout" in check.what
    assert str(check.commands[0]).strip()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a:b@h/api", "https://h/api"),
        ("https://admin:p@ss@host/api", "https://host/api"),
        ("https://admin:hun/ter2@host/api", "https://host/api"),
        ("https://[admin:hunter2@host/api", "https://host/api"),
        ("admin:hunter2@host/api", "host/api"),
        ("https:/admin:hunter2@host/api", "host/api"),
        ("admin:hunter2@host://x", "host://x"),
        ("https://h:1/a@b", "https://h:1/a@b"),
        ("", ""),
        ("h", "h"),
    ],
)
def test_an_address_is_shown_without_its_login(url, shown):
    assert without_login(url) == shown
