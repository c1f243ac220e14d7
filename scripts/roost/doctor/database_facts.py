"""What was read from a Postgres database, as frozen values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """How far the way to a port got."""

    ANSWERS = "answers"
    NO_NAME = "no name"
    REFUSED = "refused"
    NO_ROUTE = "no route"
    TIMEOUT = "timeout"
    OTHER_PROTOCOL = "other protocol"


@dataclass(frozen=True)
class Reach:
    """What a host and port answered, before any login.

    Args:
        outcome: how far it got.
        addresses: the IP addresses of the name.
        seconds: how long the connection took, for one that answers.
        has_tls: whether it agrees to TLS; None if it did not answer that.
        words: the system's words of a failure.
    """

    outcome: Outcome
    addresses: tuple[str, ...] = ()
    seconds: float = 0.0
    has_tls: bool | None = None
    words: str = ""

    @property
    def only_ipv6(self) -> bool:
        """Whether the name has IPv6 addresses alone."""
        return bool(self.addresses) and all(":" in one for one in self.addresses)


class Pooling(Enum):
    """What two connections showed to be between them and the database."""

    SESSION = "session"
    """Each has a session of its own: nothing, or a pooler in session mode."""
    TRANSACTION = "transaction"
    """A pooler that gives each transaction any session."""
    STATEMENT = "statement"
    """A pooler that knows no transactions."""
    FULL = "full"
    """There was no second connection, or it had to wait."""


@dataclass(frozen=True)
class Limits:
    """How many connections the server takes.

    Args:
        most: `max_connections`, without those reserved for administrators.
        of_role: the limit of the user; -1 for none.
        of_database: the limit of the database; -1 for none.
        others: sessions of other users and databases now.
    """

    most: int
    of_role: int
    of_database: int
    others: int

    @property
    def capacity(self) -> int:
        """How many sessions the server may have at once."""
        bounds = (max(0, self.most - self.others), self.of_role, self.of_database)
        return min(bound for bound in bounds if bound >= 0)


@dataclass(frozen=True)
class Schema:
    """What the user finds and may do in the schema where Prefect's tables are.

    Args:
        name: the schema; empty if the search path has none.
        refusal: the server's words where a table cannot be created; empty where it can.
        extension: the schema of `pg_trgm`; empty if it is not there.
        extension_visible: whether that schema is in the search path.
        extension_refusal: the server's words where it cannot be created; empty where it can.
        has_prefect: whether Prefect's tables are there.
        owner: who owns the table of migrations that Alembic keeps; empty if there is none.
        is_owner: whether the user may change them.
    """

    name: str
    refusal: str = ""
    extension: str = ""
    extension_visible: bool = True
    extension_refusal: str = ""
    has_prefect: bool = False
    owner: str = ""
    is_owner: bool = True


@dataclass(frozen=True)
class Facts:
    """What a login found.

    Args:
        number: the version as PostgreSQL counts it, such as 150008.
        version: the version for people.
        read_only: why nothing can be written; empty if something can.
        schema: the rights and the tables.
        limits: the connections.
        pooling: what is in between.
        roundtrip_s: the median time of a statement, in seconds, from this computer.
        clock_s: the database's clock minus this computer's, in seconds.
    """

    number: int
    version: str
    read_only: str
    schema: Schema
    limits: Limits
    pooling: Pooling
    roundtrip_s: float
    clock_s: float
