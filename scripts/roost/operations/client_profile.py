"""A person's own Prefect: find it, prove a server with it, and write a profile for that server.

Roost's environment has no Prefect. The person's has one, of whatever version, with a home of its own.
So a short program runs under that Python and uses Prefect's own interfaces: its client for the proof,
its profiles for the file. What it needs comes through a pipe, since other users of a computer can read
command lines; what it prints holds no value of a login.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, CompletedProcess

import anyio

from roost.environment.load import load_files
from roost.environment.model import AUTH_SECRET
from roost.errors import ClientError, MissingClientError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.secret_text import SecretText

LIMIT_S = 120
"""Importing Prefect takes seconds; its client waits for a server that is busy."""
OVERRIDES = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_PROFILE")
"""Variables that win over a profile (https://docs.prefect.io/v3/concepts/settings-and-profiles)."""

NOT_FROM_HERE = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
"""
"""What a program of `python -c` begins with: the folder that a person is in holds files of others, and a
`json.py` there would be run instead of Python's own."""

# What Prefect's client never needs. Its proxies and its own four variables stay.
_CREDENTIALS = ("ACTIONS_", "FLY_", "GH_", "GITHUB_", "ROOST_", "SOPS_")
_PROXY = "_PROXY"

# Prefect 3 from 3.1 on has all that is imported here. The proof comes before the file is touched: a
# profile that does not work is worth less than the one that it would replace.
PROGRAM = (
    NOT_FROM_HERE
    + """
import json, os
os.umask(0o077)  # the file holds the login
request = json.load(sys.stdin)

def end(**found):
    print("\\n" + json.dumps(found))
    sys.exit(0)

try:
    import prefect
    from prefect.client.orchestration import get_client
    from prefect.settings import (
        PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL,
        get_current_settings, load_profiles, save_profiles, temporary_settings,
    )
except ImportError as error:
    end(fault="no-prefect", text=str(error.name or ""))

settings = {PREFECT_API_URL: request["url"]}
if request["auth"]:
    settings[PREFECT_API_AUTH_STRING] = request["auth"]
try:
    with temporary_settings(updates=settings, restore_defaults={PREFECT_API_KEY}):
        with get_client(sync_client=True) as client:
            server = client.api_version()
            client.read_flows(limit=1)
except Exception as error:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    end(fault="no-answer", status=status, text=type(error).__name__, client=prefect.__version__)

profiles = load_profiles(include_defaults=False)
before = profiles.active_name or ""
# What else the person set in a profile of that name stays; a key of Prefect Cloud would go along.
dropped = {PREFECT_API_KEY: None, PREFECT_API_AUTH_STRING: None}
known = request["name"] in profiles.names
profiles.update_profile(name=request["name"], settings={**dropped, **settings} if known else settings)
profiles.set_active(request["name"])
path = get_current_settings().profiles_path
if os.path.exists(path):
    os.chmod(path, 0o600)  # before the login is in it
save_profiles(profiles)
end(client=prefect.__version__, server=server, before=before, path=str(path))
"""
)


@dataclass(frozen=True)
class Connected:
    """A profile that was written, after a call with it was answered.

    Args:
        client: the version of the person's Prefect.
        server: the version that the server reports.
        before: the profile that was active; empty for none.
        path: the file that holds the profile.
    """

    client: str
    server: str
    before: str
    path: str


def find_python(environ: Mapping[str, str]) -> Path:
    """Return the Python that runs the `prefect` of a person's PATH.

    The program stands beside its Python in a virtual environment. pipx and uv link to one there.

    Raises:
        MissingClientError: there is no `prefect`, or no Python beside it.
    """
    program = shutil.which("prefect", path=environ.get("PATH", ""))
    if program is None:
        raise MissingClientError(
            "There is no `prefect` on your PATH.",
            advice=(
                "Activate the virtual environment of your flows, or install it: "
                "pip install prefect. For another computer: add --print."
            ),
        )
    for folder in (Path(program).parent, Path(program).resolve().parent):
        for name in ("python", "python3"):
            if (folder / name).is_file():
                return folder / name
    raise MissingClientError(
        f"There is no Python beside {program}.",
        advice="Install Prefect in a virtual environment, activate it, and run the command again.",
    )


def overriding(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables of a shell that win over every profile."""
    return tuple(name for name in OVERRIDES if environ.get(name))


def persons_variables(context: Context) -> dict[str, str]:
    """Return the variables for a person's own Prefect: without Roost's tokens and the declared secrets.

    Args:
        context: the variables of this process, and the environment files, whose secrets are left out.
    """
    folder = context.environments
    loaded = load_files([folder] if folder.is_dir() else [])
    secrets = {AUTH_SECRET}
    for file in loaded.files:
        for _, secret in file.environment.all_secrets:
            secrets |= {secret.name, secret.source.env}
    return {
        name: value
        for name, value in context.environ.items()
        if name in OVERRIDES
        or name.upper().endswith(_PROXY)
        or not (name in secrets or name.startswith(_CREDENTIALS))
    }


async def write_profile(
    environ: Mapping[str, str], name: str, url: str, auth: SecretText | None
) -> Connected:
    """Prove a server with the person's own client, then write the profile and make it the active one.

    Args:
        environ: of `persons_variables`; it names their Prefect's home.
        name: of the profile; other settings of one that exists are kept.
        url: of the server, without `/api`.
        auth: the login; None where the server asks for none.

    Raises:
        MissingClientError: there is no Prefect to write for.
        ClientError: the server did not answer that client, or refused it. Nothing was written.
    """
    python = find_python(environ)
    request = {"name": name, "url": f"{url}/api", "auth": auth.reveal() if auth else ""}
    child = {key: value for key, value in environ.items() if key not in OVERRIDES}
    try:
        with anyio.fail_after(LIMIT_S):
            done = await anyio.run_process(
                [str(python), "-c", PROGRAM],
                input=json.dumps(request).encode(),
                stdout=PIPE,
                stderr=PIPE,
                env=child,
                check=False,
            )
    except TimeoutError:
        raise ClientError(
            f"{python} did not end within {LIMIT_S} s.", advice="Run the same command again."
        ) from None
    return _read(_answer(done, python), python, url)


def _answer(done: CompletedProcess[bytes], python: Path) -> dict[str, object]:
    """Return the last line that the program printed: Prefect and its plugins may print before it.

    Raises:
        ClientError: there is none; what was printed is not quoted, since it may hold the login.
    """
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    try:
        found = json.loads(lines[-1])
        return {str(key): value for key, value in found.items()}
    except (IndexError, ValueError, AttributeError):
        raise ClientError(
            f"The Prefect of {python} ended with {done.returncode} and wrote no profile.",
            advice=f"Does it work? Try: {python} -m prefect version",
        ) from None


def _read(answer: dict[str, object], python: Path, url: str) -> Connected:
    match answer.get("fault"):
        case None:
            return Connected(
                *(str(answer.get(key) or "") for key in ("client", "server", "before", "path"))
            )
        case "no-prefect":
            raise MissingClientError(
                f"{python} cannot import Prefect (it misses {answer.get('text')!r}).",
                advice=f"Install Prefect 3 there: {python} -m pip install prefect",
            )
        case _:
            raise ClientError(
                f"Prefect {answer.get('client')} of this computer got no good answer from {url} "
                f"({answer.get('status') or answer.get('text')}).",
                advice=_advice(answer.get("status")),
            )


def _advice(status: object) -> str:
    if status in {401, 403}:
        return "The login is not the server's. Nothing was written."
    return f"See what the server says of itself with `{Command('smoke')}`. Nothing was written."
