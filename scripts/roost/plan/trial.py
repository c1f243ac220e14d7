"""A temporary machine that tests a database address before the server gets it. Pure.

The values reach it as secrets under temporary names, so a server that boots meanwhile still reads the
old address. The machine has no service, so it gets no requests, and it does not belong to the
environment: plans ignore it. The next apply removes what a killed one left of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roost.environment.postgres_address import certificate_secret
from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import DATABASE_URL_VARIABLE
from roost.plan.image import is_our_image
from roost.plan.steps import Json, SetSecrets
from roost.secret_text import SecretText

TRIAL_KEY = "roost_trial"
"""The metadata key with the environment whose database is tested."""
SECRET_PREFIX = "ROOST_TRIAL_"  # noqa: S105 - a prefix of names, not a value
# The image's own command, with the argument that tests the database and exits (deploy/server.py).
COMMAND = ("python", "server.py", "try-database")
_TLS = "the value may ask for it with ?sslmode=require"
SENTENCES = {
    20: "the server cannot use an address of this form; its log says why",
    21: "the database refuses the user or the password",
    22: f"the database refuses the user, from here or without TLS; {_TLS}",
    23: "the server has no database of the name that stands after the host; create it, or correct it",
    24: "the host is not found; correct it, or wait for its name to be known",
    25: "nothing answers at the host and the port; correct them, or start the database",
    26: "the database did not answer in time; is it reachable from Fly?",
    27: (
        "the database's certificate is not signed by the authority that sslrootcert names, or is for "
        "another host; give the provider's certificate as a secret, and name it there"
    ),
    28: f"the database wants TLS; {_TLS}",
    29: "the database does no TLS; remove sslmode, or have it do TLS",
    30: (
        "the pooler is in statement mode, which knows no transactions, and Prefect needs them; use it "
        "in session mode, or the direct address"
    ),
    31: "the database has no connection free; end others, or use a pooler in session mode",
    32: "the database is starting up or shutting down; try again when it has",
    33: (
        "the user may not create tables in this database, which Prefect does at each upgrade; grant it "
        "(GRANT CREATE ON SCHEMA public TO ...), or use the owner"
    ),
    34: "the database takes no writes here; use the address of the primary",
    35: "the database is older than PostgreSQL 13, which Prefect needs at least",
    36: (
        "the user may not create the extension pg_trgm, which Prefect needs; have an administrator "
        "run CREATE EXTENSION pg_trgm in this database"
    ),
    37: (
        "a newer Prefect has migrated this database, and this version cannot read it; use that "
        "version, or another database"
    ),
    38: "Supabase's pooler knows no such user; there it is postgres.REF, with the project's reference",
    39: "Neon does not know which endpoint is meant; use the host that begins with its name (ep-...)",
    40: "the database cannot be used; the log says more",
    41: (
        "its value was gone when the machine started, as somebody else applied at the same time; let "
        "them end"
    ),
}
"""By exit code of the test; the codes are those of deploy/roost_server/postgres_faults.py."""


def tried_secret(config: Json, names: Iterable[str]) -> str:
    """Return which secret is the address of a database to test; empty for none.

    Only Roost's image has the command for the test.
    """
    name = str((config.get("env") or {}).get(DATABASE_URL_VARIABLE, ""))
    return name if name in set(names) and is_our_image(str(config.get("image", ""))) else ""


def trial_values(step: SetSecrets, values: Mapping[str, SecretText]) -> dict[str, SecretText]:
    """Return the secrets of the test: the address, and its certificate if that is set with it."""
    url = values[step.tried]
    certificate = certificate_secret(url.reveal())
    names = [step.tried, *([certificate] if certificate in step.names else [])]
    return {f"{SECRET_PREFIX}{name}": values[name] for name in names}


def trial_config(config: Json, environment: str) -> Json:
    """Return the config of the test's machine: the server's, without services, to run once."""
    return {
        "image": config["image"],
        "guest": config["guest"],
        "env": config["env"],
        "init": {"cmd": list(COMMAND)},
        "restart": {"policy": "no"},
        "metadata": {TRIAL_KEY: environment},
    }


def is_trial(machine: Machine) -> bool:
    """Return whether a machine was created to test a database."""
    return TRIAL_KEY in machine.metadata


def is_trial_secret(secret: SecretInfo) -> bool:
    """Return whether a secret was set to test a database."""
    return secret.name.startswith(SECRET_PREFIX)


def ending_of(machine: Machine) -> Json | None:
    """Return the exit event of a test's machine; None while it runs."""
    return next((e.exit_event for e in machine.events if e.exit_event is not None), None)


def ending_text(ending: Json) -> str:
    """Return what a test found wrong, as the rest of a sentence; empty if the database works."""
    if ending.get("oom_killed"):
        return "the machine that tested it was killed because its memory was full"
    code, signal = ending.get("exit_code"), ending.get("signal")
    if isinstance(signal, int) and signal > 0:  # Fly writes -1 for none
        return f"the machine that tested it was ended by signal {signal}"
    if code == 0:
        return ""
    if isinstance(code, int) and code in SENTENCES:
        return SENTENCES[code]
    return f"the machine that tested it exited with code {code}; its log says why"
