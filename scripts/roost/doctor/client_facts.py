"""What was read of a person's own Prefect, and what a server answered it, as frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from roost.doctor.server_facts import ASLEEP


class Step(Enum):
    """How far a request got."""

    NOT_TRIED = "not tried"
    NO_ADDRESS = "no address"
    """The text is no http address."""
    NO_NAME = "no name"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NO_ROUTE = "no route"
    TLS = "tls"
    NO_CERTIFICATES = "no certificates"
    """The file of those to trust cannot be read."""
    PROXY = "proxy"
    """The proxy on the way cannot be used, or lets nobody through."""
    BROKEN = "broken"
    """The connection ended before an answer."""
    ANSWERED = "answered"


@dataclass(frozen=True)
class Settings:
    """The settings that count for Prefect on this computer; never the login itself.

    Args:
        prefect: the version of Prefect; empty if there is none, and only the variables were read.
        url: PREFECT_API_URL as it counts; empty if it is not set.
        has_login: whether PREFECT_API_AUTH_STRING is set.
        has_key: whether PREFECT_API_KEY is set, which wins over the login.
        profile: the active profile; empty if unknown.
        profiles: by the name of each profile its URL.
        overriding: variables of this shell that win over every profile.
        ssl_cert_file: PREFECT_API_SSL_CERT_FILE; empty if it is not set.
        insecure: whether PREFECT_API_TLS_INSECURE_SKIP_VERIFY is set.
        why_not: why no Prefect could be asked; empty if one was.
    """

    prefect: str = ""
    url: str = ""
    has_login: bool = False
    has_key: bool = False
    profile: str = ""
    profiles: Mapping[str, str] = field(default_factory=dict)
    overriding: tuple[str, ...] = ()
    ssl_cert_file: str = ""
    insecure: bool = False
    why_not: str = ""


@dataclass(frozen=True)
class Reached:
    """What came back from an address.

    Args:
        step: how far it got.
        words: the system's words of a failure.
        status: the status of `/health`.
        is_prefect: whether it answered as Prefect does.
        location: where it redirects to; may be empty.
        server: the header Server of the answer; may be empty.
        ready: the status of `/ready`.
        clock_s: the server's clock minus this computer's, in seconds; None if it sent no time.
    """

    step: Step = Step.NOT_TRIED
    words: str = ""
    status: int = 0
    is_prefect: bool = False
    location: str = ""
    server: str = ""
    ready: int = 0
    clock_s: float | None = None


@dataclass(frozen=True)
class LoggedIn:
    """What a call with the login of this computer returned.

    Args:
        status: 200 if it was answered; 0 if no answer came.
        version: the server's version.
        words: the kind of failure without a status.
    """

    status: int = 0
    version: str = ""
    words: str = ""


@dataclass(frozen=True)
class Server:
    """The server that the client should talk to, as far as it is known.

    Args:
        url: its PREFECT_API_URL; empty if nobody named one.
        environment: the environment; empty for a URL alone.
        state: the states of its machines, such as `stopped, suspended`; empty if unknown.
    """

    url: str = ""
    environment: str = ""
    state: str = ""

    @property
    def sleeps(self) -> bool:
        """Whether Fly says that each of its machines sleeps."""
        return bool(self.state) and set(self.state.split(", ")) <= ASLEEP
