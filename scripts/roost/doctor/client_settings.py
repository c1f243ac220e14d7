"""Read the settings of a person's own Prefect as Prefect does, and send one call with its client.

A short program runs under the Python of their `prefect`. It never prints the login, and sends it only where
that Prefect would send it. Without a Prefect the variables of this process are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from subprocess import DEVNULL, PIPE
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from roost.doctor.client_facts import LoggedIn, Settings
from roost.doctor.client_way import open_server
from roost.errors import MissingClientError
from roost.operations.client_profile import (
    LIMIT_S,
    NOT_FROM_HERE,
    find_python,
    overriding,
    persons_variables,
)
from roost.operations.context import Context
from roost.prefect.transport import basic
from roost.secret_text import SecretText

API_URL, AUTH, KEY = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"
CERT_FILE, INSECURE = "PREFECT_API_SSL_CERT_FILE", "PREFECT_API_TLS_INSECURE_SKIP_VERIFY"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})  # as pydantic reads one, in small letters
MARK = "roost-doctor "
ANSWER_S = 30.0
MOST_BYTES = 2**20
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")

# Prefect 3 from 3.1 on has all that is imported here. It waits for a line before it sends anything:
# what can be said without a request is said first.
PROGRAM = (
    NOT_FROM_HERE
    + """
import json

def tell(**found):
    print("\\n" + MARK + json.dumps(found), flush=True)

try:
    import prefect
    from prefect.context import get_settings_context
    from prefect.settings import (
        PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_SSL_CERT_FILE,
        PREFECT_API_TLS_INSECURE_SKIP_VERIFY, PREFECT_API_URL, load_profiles,
    )
    profile = get_settings_context().profile.name
    profiles = {}
    for name, found in load_profiles(include_defaults=False).items():
        url = found.settings.get(PREFECT_API_URL)
        if url:
            profiles[name] = str(url)
    tell(
        prefect=prefect.__version__, url=str(PREFECT_API_URL.value() or ""), profile=profile or "",
        profiles=profiles, has_login=bool(PREFECT_API_AUTH_STRING.value()),
        has_key=bool(PREFECT_API_KEY.value()),
        ssl_cert_file=str(PREFECT_API_SSL_CERT_FILE.value() or ""),
        insecure=bool(PREFECT_API_TLS_INSECURE_SKIP_VERIFY.value()),
    )
except Exception as error:
    tell(fault=type(error).__name__)
    sys.exit(0)

if not sys.stdin.readline().strip():
    sys.exit(0)
try:
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        tell(status=200, version=str(client.api_version()))
except Exception as error:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    tell(status=status, words=type(error).__name__)
"""
)


class Client:
    """A person's own Prefect, which waits for the call that it is to send.

    Args:
        settings: what counts for it.
        process: the program; None without a Prefect.
        lines: what it prints.
        context: the variables, which have the login without a Prefect.
    """

    def __init__(
        self,
        settings: Settings,
        context: Context,
        process: Process | None = None,
        lines: BufferedByteReceiveStream | None = None,
    ) -> None:
        self.settings = settings
        self._context = context
        self._process = process
        self._lines = lines

    async def log_in(self) -> LoggedIn:
        """Send one call with the login of this computer; return what came back."""
        if self._process is None or self._lines is None or self._process.stdin is None:
            return await self._log_in_alone()
        try:
            with anyio.fail_after(LIMIT_S):
                await self._process.stdin.send(b"go\n")
                found = await _next(self._lines)
        except (TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return LoggedIn(words=f"no answer within {LIMIT_S} s")
        status = found.get("status")
        return LoggedIn(
            status if isinstance(status, int) else 0,
            str(found.get("version") or ""),
            str(found.get("words") or ""),
        )

    async def _log_in_alone(self) -> LoggedIn:
        """Send the call without a Prefect, with the login of the variables."""
        login = self._context.environ.get(AUTH, "")
        headers = basic(SecretText(login)) if login else {}
        async with open_server(self.settings, self.settings.url, ANSWER_S) as http:
            try:
                answer = await http.get("/api/admin/version", headers=headers)
                version = answer.json() if answer.is_success else ""
            except (httpx.HTTPError, ValueError) as failure:
                return LoggedIn(words=type(failure).__name__)
        return LoggedIn(answer.status_code, version if isinstance(version, str) else "")


@asynccontextmanager
async def open_client(context: Context) -> AsyncIterator[Client]:
    """Yield the Prefect of this computer's PATH, or what the variables say without one."""
    environ = context.environ
    try:
        python = find_python(environ)
    except MissingClientError as error:
        yield Client(_of_variables(environ, error.what), context)
        return
    child = {"PREFECT_CLIENT_MAX_RETRIES": "0", **persons_variables(context)}
    program = [str(python), "-c", f"MARK = {MARK!r}\n{PROGRAM}"]
    async with await anyio.open_process(
        program, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=child
    ) as process:
        try:
            lines = BufferedByteReceiveStream(_stdout(process))
            try:
                with anyio.fail_after(LIMIT_S):
                    found = await _next(lines)
            except TimeoutError:
                found = {"fault": f"no answer within {LIMIT_S} s"}
            if fault := found.get("fault"):
                why = f"the Prefect of {python} cannot be read ({fault})"
                yield Client(_of_variables(environ, why), context)
            else:
                yield Client(_settings(found, environ), context, process, lines)
        finally:
            if process.returncode is None:
                process.kill()


def _stdout(process: Process) -> anyio.abc.ByteReceiveStream:
    assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
    return process.stdout


async def _next(lines: BufferedByteReceiveStream) -> dict[str, Any]:
    """Return the next line of the program itself: Prefect and its plugins may print as well."""
    while True:
        try:
            line = await lines.receive_until(b"\n", MOST_BYTES)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound):
            return {"fault": "it ended", "words": "it ended"}
        text = line.decode(errors="replace").strip()
        if text.startswith(MARK):
            try:
                found = json.loads(text.removeprefix(MARK))
            except ValueError:
                return {"fault": "it wrote no JSON"}
            return found if isinstance(found, dict) else {}


def without_login(url: str) -> str:
    """Return an address without the user and the password that may stand in it.

    All up to the last `@` is left out, unless the address has a valid host before its path: a password may
    hold what ends a host, and a login may stand where a scheme is expected.
    """
    text = url.strip()
    if _has_plain_host(text):
        return text
    scheme, mark, rest = text.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        return text.rpartition("@")[2]
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def _has_plain_host(text: str) -> bool:
    """Return whether an address can be read, and has no login before its host."""
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # of brackets or of the port
        return False


def _of_variables(environ: Mapping[str, str], why: str) -> Settings:
    return Settings(
        url=without_login(environ.get(API_URL, "")),
        has_login=bool(environ.get(AUTH)),
        has_key=bool(environ.get(KEY)),
        overriding=overriding(environ),
        ssl_cert_file=environ.get(CERT_FILE) or environ.get("SSL_CERT_FILE", ""),
        insecure=environ.get(INSECURE, "").lower() in _TRUE,
        why_not=why,
    )


def _settings(found: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    profiles = found.get("profiles")
    named = profiles if isinstance(profiles, dict) else {}
    return Settings(
        prefect=str(found.get("prefect") or ""),
        url=without_login(str(found.get("url") or "")),
        has_login=bool(found.get("has_login")),
        has_key=bool(found.get("has_key")),
        profile=str(found.get("profile") or ""),
        profiles={str(name): without_login(str(url)) for name, url in named.items()},
        overriding=overriding(environ),
        ssl_cert_file=str(found.get("ssl_cert_file") or ""),
        insecure=bool(found.get("insecure")),
    )
