"""What the facts about a person's Prefect mean: findings with the command that corrects each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from roost.doctor.check import Check, State, ok, unknown
from roost.doctor.client_address import host_of, parts_of, path_of, same_place, with_path
from roost.doctor.client_facts import LoggedIn, Reached, Server, Settings, Step
from roost.errors.command import Command
from roost.prefect.client_versions import client_fault

CLOCK_S = 5.0
API = "/api"
_REDIRECTS = range(300, 400)
_NOT_WOKEN = frozenset({502, 503, 504})
_UNAUTHORIZED = frozenset({401, 403})
_LOGIN = "PREFECT_API_AUTH_STRING"
_FILES = ".env, prefect.toml or pyproject.toml"
_BUILT_IN = "local"
"""A profile that Prefect has without a file, with a URL."""
_PRIVATE = (".flycast", ".internal")


def wrong(
    what: str,
    mend: str,
    *evidence: str,
    commands: tuple[Command | str, ...] = (),
) -> Check:
    """Return a finding about this computer's Prefect."""
    return Check(State.WRONG, what, mend, evidence=evidence, commands=commands)


def settings_findings(settings: Settings, server: Server) -> Iterator[Check]:
    """Return what the settings say by themselves; nothing is asked for it."""
    if settings.why_not:
        yield unknown(
            f"no Prefect was asked: {settings.why_not} Only the variables of this shell were read",
            "activate the virtual environment of your flows, and run this again",
        )
    fault = url_fault(settings, server)
    if fault is not None:
        yield fault
    else:
        where = f"profile {settings.profile}" if settings.profile else "this shell"
        if _is_of_a_file(settings):
            where = f"from {_FILES}"
        if "PREFECT_API_URL" in settings.overriding:
            where = "PREFECT_API_URL of this shell, which wins over every profile"
        yield ok(f"Prefect {settings.prefect or '(none here)'} uses {settings.url} ({where})")


def url_fault(settings: Settings, server: Server) -> Check | None:
    """Return what is wrong with the URL that counts; None if nothing is."""
    source = _source(settings)
    if not settings.url:
        return wrong(
            "PREFECT_API_URL is not set: Prefect starts a server of its own for each run, and nothing "
            "reaches yours",
            "set it",
            source,
            commands=_set_url(server),
        )
    parts = parts_of(settings.url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return wrong(
            f"PREFECT_API_URL is no address: {settings.url}",
            "it has the form https://HOST/api",
            source,
            commands=_set_url(server),
        )
    if not server.url or same_place(settings.url, server.url):
        return _path_fault(settings, server)
    return _other_server(settings, server)


def _path_fault(settings: Settings, server: Server) -> Check | None:
    path = path_of(settings.url)
    wanted = path_of(server.url) if server.url else API
    if path == wanted or (not server.url and path.endswith(API)):
        return None
    return wrong(
        f"PREFECT_API_URL ends in {path or 'the host'}, not in {wanted}: every call answers 404 or a page of the UI",
        f"end it in {wanted}",
        _source(settings),
        commands=_set_url(Server(with_path(settings.url, wanted))),
    )


def _other_server(settings: Settings, server: Server) -> Check:
    """Return that another server is used than the one that was named, with the profile that has it."""
    fitting = [name for name, url in settings.profiles.items() if same_place(url, server.url)]
    what = (
        f"this Prefect talks to {host_of(settings.url)}, not to {host_of(server.url) or server.url}"
    )
    evidence = (_source(settings), f"expected: {server.url}")
    if winning := [
        name for name in settings.overriding if name in {"PREFECT_API_URL", "PREFECT_PROFILE"}
    ]:
        return wrong(
            f"{what}: {winning[0]} of this shell wins over every profile",
            "unset it, or give it the value of the server",
            *evidence,
            commands=(f"unset {winning[0]}",),
        )
    if _is_of_a_file(settings):
        return wrong(
            f"{what}: a file of this folder wins over every profile",
            f"correct PREFECT_API_URL in {_FILES}",
            *evidence,
        )
    if fitting:
        return wrong(
            f"{what}: another profile is active",
            f"the profile {fitting[0]} has its address",
            *evidence,
            commands=(f"prefect profile use {fitting[0]}",),
        )
    return wrong(what, "connect it", *evidence, commands=_set_url(server))


def reach_findings(settings: Settings, server: Server, reached: Reached) -> Iterator[Check]:
    """Return how far a request got, and what it means."""
    url, host = settings.url, host_of(settings.url)
    match reached.step:
        case Step.ANSWERED if reached.is_prefect:
            yield from _ready(settings, server, reached)
        case Step.ANSWERED:
            yield _not_prefect(settings, server, reached)
        case Step.NO_NAME:
            private = any(host.partition(":")[0].endswith(end) for end in _PRIVATE)
            mend = (
                "join Fly's private network (fly wireguard create), which knows this name"
                if private
                else "correct the host: a name of fly.dev exists as long as its app has an address"
            )
            yield wrong(
                f"the host {host} is not found", mend, reached.words, commands=_status(server)
            )
        case Step.REFUSED:
            yield wrong(
                f"{host} refuses the connection: nothing listens on that port",
                "start the server, or correct host and port in PREFECT_API_URL",
                reached.words,
                commands=_status(server),
            )
        case Step.TIMEOUT | Step.NO_ROUTE:
            yield wrong(
                f"{host} does not answer ({reached.step.value})",
                "a firewall or a proxy of your network is in the way, or the server hangs: try another network; "
                "behind a proxy set HTTPS_PROXY",
                reached.words,
                commands=_status(server),
            )
        case Step.TLS | Step.NO_CERTIFICATES | Step.PROXY:
            yield _on_the_way(host, reached)
        case Step.NO_ADDRESS | Step.NOT_TRIED:
            yield unknown(f"{url} was not tried")
        case Step.BROKEN:
            yield wrong(
                f"{host} ended the connection before it answered",
                "the port speaks another protocol, or the server ended: check the port, and http or https",
                reached.words,
                commands=_status(server),
            )


def _ready(settings: Settings, server: Server, reached: Reached) -> Iterator[Check]:
    yield ok(f"{settings.url} answers, and is Prefect")
    if reached.ready != HTTPStatus.OK:
        yield wrong(
            "the server runs, and its database does not answer",
            "see what is wrong with the server",
            f"/ready: {reached.ready}",
            commands=_doctor(server),
        )
    apart = reached.clock_s
    if apart is not None and abs(apart) >= CLOCK_S:
        word = "behind" if apart > 0 else "ahead of"
        yield wrong(
            f"this computer's clock is {abs(apart):.0f} s {word} the server's: runs are scheduled and "
            "expire at other times than you mean",
            "have this computer follow NTP, such as: timedatectl set-ntp true",
            "the header Date of the answer, beside the time here",
        )
    elif apart is not None:
        yield ok(f"the clocks are within {CLOCK_S:.0f} s")


def _not_prefect(settings: Settings, server: Server, reached: Reached) -> Check:
    host, status = host_of(settings.url), reached.status
    seen = f"/health: {status}" + (f", from {reached.server}" if reached.server else "")
    if status in _REDIRECTS and not _wants_https(settings, reached):
        return wrong(
            f"something before the server redirects to {host_of(reached.location) or 'another path'}",
            "have it let Prefect's calls through, or correct the address",
            seen,
        )
    if status in _REDIRECTS:
        return wrong(
            f"{host} is asked with http, and wants https: the login would cross the internet in the clear",
            "write https",
            f"{seen}, to https://{host_of(reached.location)}",
            commands=_set_url(Server(settings.url.replace("http://", "https://", 1))),
        )
    if status in _NOT_WOKEN:
        asleep = f" (Fly: {server.state})" if server.state else ""
        return wrong(
            f"{host} answers {status}: the server behind it does not start or was not woken{asleep}",
            "see what keeps it from starting",
            seen,
            commands=_doctor(server),
        )
    if status in _UNAUTHORIZED:
        return wrong(
            f"something before the server asks for a login of its own ({status})",
            "let /api/health through: Prefect's server asks nobody for a login there",
            seen,
        )
    return wrong(
        f"{settings.url} is not a Prefect server",
        "correct the address; it ends in /api",
        seen,
        commands=_set_url(server),
    )


def _on_the_way(host: str, reached: Reached) -> Check:
    """Return what is wrong with the certificates or the proxy."""
    if reached.step is Step.NO_CERTIFICATES:
        return wrong(
            "PREFECT_API_SSL_CERT_FILE names a file that cannot be read as certificates",
            "correct the name, or unset it",
            reached.words,
            commands=("prefect config unset PREFECT_API_SSL_CERT_FILE",),
        )
    if reached.step is Step.PROXY:
        return wrong(
            f"the proxy of this computer does not let a request to {host} through",
            "correct the proxy in HTTPS_PROXY or HTTP_PROXY, or name the host in NO_PROXY",
            reached.words,
        )
    return _tls(host, reached)


def _tls(host: str, reached: Reached) -> Check:
    words = reached.words.lower()
    if "wrong version number" in words or "record layer" in words or "http request" in words:
        return wrong(
            f"{host} does not speak TLS on that port",
            "write http, or the port that has TLS",
            reached.words,
        )
    if "expired" in words or "not yet valid" in words:
        return wrong(
            f"the certificate of {host} is not valid at this computer's time",
            "check the date of this computer (date -u) first; then renew the certificate",
            reached.words,
        )
    if "mismatch" in words or "doesn't match" in words:
        return wrong(
            f"the certificate is for another host than {host}",
            "use the host that the certificate names, such as APP.fly.dev",
            reached.words,
        )
    return wrong(
        f"the certificate of {host} is signed by nobody that this computer trusts: often a proxy of your "
        "network that opens TLS",
        "ask for the proxy's root certificate, and name its file",
        reached.words,
        commands=("prefect config set PREFECT_API_SSL_CERT_FILE=/path/to/root.pem",),
    )


def login_findings(settings: Settings, server: Server, found: LoggedIn) -> Iterator[Check]:
    """Return whether the login is the server's, and whether the versions fit."""
    status = found.status
    if status in _UNAUTHORIZED:
        yield _refused(settings, server, status)
        return
    if status != HTTPStatus.OK:
        yield wrong(
            f"Prefect got no good answer ({status or found.words})",
            "see what is wrong with the server",
            f"GET /admin/version: {status or found.words}",
            commands=_doctor(server),
        )
        return
    who = "the login is the server's" if settings.has_login else "the server asks for no login"
    yield ok(f"{who}: a call with it was answered")
    if not settings.prefect or not found.version:
        return
    if fault := client_fault(settings.prefect, found.version):
        what, _, command = fault.partition(": ")
        yield wrong(
            f"Prefect {settings.prefect} here does not fit the server's {found.version}",
            what,
            f"client {settings.prefect}, server {found.version}",
            commands=(command,) if command else (),
        )
    else:
        yield ok(f"Prefect {settings.prefect} fits the server's {found.version}")


def _refused(settings: Settings, server: Server, status: int) -> Check:
    seen = f"GET /admin/version: {status}"
    if settings.has_key:
        return wrong(
            "PREFECT_API_KEY is set, is sent instead of the login, and the server refuses it",
            "unset it: a key is for Prefect Cloud",
            seen,
            commands=("prefect config unset PREFECT_API_KEY",)
            if "PREFECT_API_KEY" not in settings.overriding
            else ("unset PREFECT_API_KEY",),
        )
    if not settings.has_login:
        return wrong(
            f"the server wants a login, and {_LOGIN} is not set",
            "connect, which asks for it; or set it to USER:PASSWORD",
            seen,
            commands=_connect(server),
        )
    return wrong(
        f"the server refuses the login in {_LOGIN}",
        "connect with the one that it has: USER:PASSWORD, as in its secret PREFECT_SERVER_API_AUTH_STRING",
        seen,
        *(
            (f"{_LOGIN} of this shell wins over every profile",)
            if _LOGIN in settings.overriding
            else ()
        ),
        commands=(
            *((f"unset {_LOGIN}",) if _LOGIN in settings.overriding else ()),
            *_connect(server),
        ),
    )


# Words and commands


def _source(settings: Settings) -> str:
    if "PREFECT_API_URL" in settings.overriding:
        return f"PREFECT_API_URL of this shell: {settings.url}"
    if _is_of_a_file(settings):
        return f"{_FILES} of this folder: PREFECT_API_URL is {settings.url}"
    profile = f"profile {settings.profile}" if settings.profile else "no profile"
    return f"{profile}: PREFECT_API_URL is {settings.url or 'not set'}"


def _is_of_a_file(settings: Settings) -> bool:
    """Return whether the URL is neither of the shell nor of the active profile, so a file has it."""
    if not settings.url or not settings.profile or "PREFECT_API_URL" in settings.overriding:
        return False
    in_profile = settings.profiles.get(settings.profile)
    if in_profile is None and settings.profile == _BUILT_IN:
        return False
    return in_profile != settings.url


def _set_url(server: Server) -> tuple[Command | str, ...]:
    if server.environment:
        return (Command("connect", server.environment),)
    return (f"prefect config set PREFECT_API_URL={server.url or 'https://APP.fly.dev/api'}",)


def _connect(server: Server) -> tuple[Command | str, ...]:
    if server.environment:
        return (Command("connect", server.environment),)
    return (f"prefect config set {_LOGIN}=USER:PASSWORD",)


def _doctor(server: Server) -> tuple[Command | str, ...]:
    name = server.environment or "ENV"
    return (Command("doctor", name, "--wake"),)


def _status(server: Server) -> tuple[Command | str, ...]:
    return (Command("status", server.environment),) if server.environment else ()


def _wants_https(settings: Settings, reached: Reached) -> bool:
    return settings.url.startswith("http://") and reached.location.startswith("https://")
