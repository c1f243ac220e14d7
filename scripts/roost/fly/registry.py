"""Ask Fly's image registry whether it has an image.

It speaks the registry protocol of the OCI (https://github.com/opencontainers/distribution-spec):
`HEAD /v2/APP/manifests/TAG`, as user `x` with the Fly token as the password. A registry may require
a token of its own instead; its answer then names the address that issues one.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from roost.errors import (
    FlyAnswerError,
    FlyError,
    FlyForbiddenError,
    FlyRateLimitedError,
    FlyUnauthorizedError,
    FlyUnavailableError,
    UsageError,
)
from roost.fly.transport import bare_token
from roost.http.connection import Connection, is_this_computer, service_client
from roost.http.exchange import OversizedError, exchange
from roost.http.retry import (
    AgainError,
    Repeat,
    may_repeat_failure,
    may_repeat_status,
    repeated,
    retry_after_s,
)
from roost.secret_text import SecretText

USER = "x"
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
ATTEMPTS = 4
TIMEOUT_S = 15.0
ANSWER_S = 30.0
"""The longest that one answer may take as a whole."""
DEADLINE_S = 90.0
_HOST = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?$", re.ASCII)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"', re.ASCII)


class Registry(Connection):
    """A connection to a registry; use as an asynchronous context manager.

    Args:
        host: such as registry.fly.io; a registry on this computer is called without TLS.
        token: for Fly; sent to that host alone and shown nowhere.
        transport: for tests; the network by default.
        deadline_s: no call is repeated past this many seconds.

    Raises:
        UsageError: the host or the token cannot be one.
    """

    def __init__(
        self,
        host: str,
        token: SecretText,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _HOST.fullmatch(host):
            raise UsageError(
                "The address of the registry is not a host name.",
                where="FLY_REGISTRY_HOST",
                advice="Unset it, or give one like registry.fly.io",
            )
        near = is_this_computer(host.partition(":")[0])
        login = f"{USER}:{bare_token(token).reveal()}".encode()
        self.host = host
        self._basic = SecretText(f"Basic {base64.b64encode(login).decode()}")
        self._deadline_s = deadline_s
        self._clock = clock
        address = f"{'http' if near else 'https'}://{host}"
        super().__init__(service_client(address, {}, TIMEOUT_S, transport))

    def __repr__(self) -> str:
        return f"Registry({self.host!r})"

    async def has(self, app: str, tag: str) -> bool:
        """Return whether the app's repository has that tag; an app that does not exist has none.

        Raises:
            FlyError: the registry refused, failed, or did not answer.
        """
        path = f"/v2/{app}/manifests/{tag}"
        answer = await self._send("HEAD", path, self._basic)
        if answer.status_code == httpx.codes.UNAUTHORIZED and (realm := self._realm(answer)):
            bearer = await self._own_token(realm)
            answer = await self._send("HEAD", path, bearer)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        if not answer.is_success:
            raise self._refused(answer, f"HEAD {path}")
        return True

    def _realm(self, answer: httpx.Response) -> httpx.URL | None:
        """Return the address at which the registry issues its own tokens, None where it names none.

        Raises:
            FlyAnswerError: the address is on another host, which must not be sent the Fly token.
        """
        scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = dict(_PARAMETER.findall(rest))
        try:
            url = httpx.URL(found.get("realm", ""))
        except httpx.InvalidURL:
            url = httpx.URL()
        here = self.http.base_url
        if url.scheme != here.scheme or not _same_owner(url.host, here.host):
            raise FlyAnswerError(
                "The registry asked to send the token to another host, and it was not sent there.",
                where=self.host,
                advice="Check FLY_REGISTRY_HOST; if it is Fly's own, report this.",
            )
        asked = {name: found[name] for name in ("service", "scope") if name in found}
        return url.copy_merge_params(asked)

    async def _own_token(self, realm: httpx.URL) -> SecretText:
        answer = await self._send("GET", realm, self._basic)
        where = f"GET {realm.path}"
        if not answer.is_success:
            raise self._refused(answer, where)
        try:
            body: Any = answer.json()
            token = body.get("token") or body["access_token"]
        except (ValueError, LookupError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise self._wrong(where, "no token")
        return SecretText(f"Bearer {token}")

    async def _send(self, verb: str, url: str | httpx.URL, login: SecretText) -> httpx.Response:
        """Send, again where that may help: no call to the registry changes anything."""
        ends = self._clock() + self._deadline_s
        return await repeated(
            lambda: self._send_once(verb, url, login), ATTEMPTS, ends, self._clock
        )

    async def _send_once(
        self, verb: str, url: str | httpx.URL, login: SecretText
    ) -> httpx.Response:
        where = f"{verb} {httpx.URL(url).path}"
        headers = {"authorization": login.reveal(), "accept": MANIFESTS}
        request = self.http.build_request(verb, url, headers=headers)
        try:
            answer = await exchange(self.http, request, min(ANSWER_S, self._deadline_s))
        except OversizedError as failure:
            raise self._wrong(where, str(failure)) from None
        except httpx.ReadTimeout:
            raise AgainError(self._unavailable("did not answer in time", where)) from None
        except httpx.RequestError as failure:
            kind = type(failure).__name__
            lost = self._unavailable(f"could not be reached ({kind})", where)
            again = may_repeat_failure(failure, Repeat.SAFE)
            raise (AgainError(lost) if again else lost) from None
        if may_repeat_status(answer.status_code, Repeat.SAFE):
            wait_s = retry_after_s(answer, lambda: datetime.now(UTC))
            raise AgainError(self._refused(answer, where), wait_s)
        return answer

    def _refused(self, answer: httpx.Response, where: str) -> FlyError:
        status = answer.status_code
        kind, advice = FlyError, "Check that the token and the app's name are right."
        if status == httpx.codes.UNAUTHORIZED:
            kind = FlyUnauthorizedError
            advice = "The token is wrong, expired or revoked. Make a new one: `fly tokens create deploy`."
        elif status == httpx.codes.FORBIDDEN:
            kind = FlyForbiddenError
            advice = "The token does not reach this app. Make one of its own: `fly tokens create deploy -a APP`."
        elif status == httpx.codes.TOO_MANY_REQUESTS:
            kind = FlyRateLimitedError
            advice = "Fly limits calls. Wait a minute and run the same command again."
        elif status >= httpx.codes.INTERNAL_SERVER_ERROR:
            kind = FlyUnavailableError
            advice = "Nothing was changed. Run the same command again; see status.flyio.net."
        where = f"{self.host} {where}"
        return kind(f"The registry answered {status}.", where=where, advice=advice, status=status)

    def _unavailable(self, what: str, where: str) -> FlyUnavailableError:
        return FlyUnavailableError(
            f"The registry {what}.",
            where=f"{self.host} {where}",
            advice="Nothing was changed. Check the network and run the same command again.",
        )

    def _wrong(self, where: str, reason: str) -> FlyAnswerError:
        return FlyAnswerError(
            f"The registry answered with something else than documented ({reason}).",
            where=f"{self.host} {where}",
            advice="Run the same command again; if it stays, report it.",
        )


def _same_owner(host: str, registry: str) -> bool:
    """Return whether a host is the registry, or another host of the same owner."""
    owner = ".".join(registry.split(".")[-2:])
    same = host.lower() == registry.lower()
    return same or (owner == "fly.io" and host.lower().endswith(".fly.io"))
