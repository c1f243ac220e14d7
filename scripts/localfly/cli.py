"""The local Fly's command line: start and stop the daemon, read logs, build images."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import typer.exceptions

from localfly.errors import LocalFlyError
from localfly.images.builder import Images
from localfly.state.client_environment import client_environment
from localfly.state.home import Delays, Settings, discovery_file, lock_home
from localfly.state.weather import read_weather

START_LIMIT_S = 30
STOP_LIMIT_S = 60
POLL_S = 0.05

app = typer.Typer(
    name="localfly",
    help="A small Fly.io on this machine: the Machines API, the proxy, and machines as processes.",
    epilog="Point any client to it: eval $(localfly env)",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port of the API; a free one if left out.")
]
Token = Annotated[str, typer.Option(help="The only token that is accepted; any token if left out.")]
SuspendTakes = Annotated[
    float, typer.Option(min=0, help="Seconds that a machine takes to be suspended.")
]
SecretsTake = Annotated[
    float, typer.Option(min=0, help="Seconds until the hosts know new secrets.")
]
AnswersTake = Annotated[
    float, typer.Option(min=0, help="Seconds that each answer of the Machines API takes.")
]
WeatherOption = Annotated[
    str,
    typer.Option(
        metavar="FILE|SEED",
        help="Troubles of the Machines API: a YAML file, or a whole number for bad weather.",
    ),
]


def main(argv: list[str]) -> int:
    """Run one command line; print a known failure as one sentence on standard error."""
    try:
        code = app(argv, prog_name="localfly", standalone_mode=False)
    except LocalFlyError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the output of a command
        return 1
    except OSError as error:  # such as a home folder that cannot be written
        print(f"{error.filename or 'localfly'}: {error.strerror or error}.", file=sys.stderr)  # noqa: T201 - see above
        return 1
    except typer.exceptions.TyperException as error:
        print(f"localfly: {error} See: localfly --help", file=sys.stderr)  # noqa: T201 - the output of a command
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return int(code or 0)


def home_folder() -> Path:
    """Return the home folder from LOCALFLY_HOME, or the default in the user's home."""
    named = os.environ.get("LOCALFLY_HOME")
    return Path(named or Path.home() / ".local" / "state" / "localfly").absolute()


def cache_folder() -> Path:
    """Return the folder of built images."""
    return Path(os.environ.get("LOCALFLY_CACHE") or home_folder() / "cache").absolute()


@app.command("serve", epilog="Example: localfly serve --port 4280")
def serve_here(  # noqa: PLR0913 - each option of the command is an argument
    port: Port = 0,
    token: Token = "",
    *,
    suspend_takes: SuspendTakes = 0,
    secrets_take: SecretsTake = 0,
    answers_take: AnswersTake = 0,
    weather: WeatherOption = "",
) -> None:
    """Run in the foreground until Ctrl-C."""
    from localfly.daemon import serve  # noqa: PLC0415 - importing the server would slow down the other commands

    delays = Delays(suspend_takes, secrets_take, answers_take)
    troubles = read_weather(weather) if weather else None
    settings = Settings(home_folder(), cache_folder(), port, token or None, delays, troubles)
    asyncio.run(serve(settings))


@app.command(epilog="Example: localfly start --detach")
def start(
    port: Port = 0,
    token: Token = "",
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; return when it answers.")
    ] = False,
) -> None:
    """Start the daemon and print the address of its API."""
    if not detach:
        serve_here(port, token)
        return
    running = find()
    if running is None:
        running = start_detached(port, token)
    typer.echo(running["api_url"])


def start_detached(port: int, token: str) -> dict[str, Any]:
    """Start a daemon in a session of its own and wait until it answers."""
    log = home_folder() / "logs" / "daemon.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = [*(["--port", str(port)] if port else []), *(["--token", token] if token else [])]
    began = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - runs this package
            [sys.executable, "-m", "localfly", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        running = find()
        if running is not None:
            return running
        if process.poll() is not None:
            text = log.read_bytes()[began:].decode(errors="replace").strip()
            raise LocalFlyError(text or f"The daemon ended with code {process.returncode}.")
        time.sleep(POLL_S)
    process.kill()
    raise LocalFlyError(
        f"The daemon did not answer within {START_LIMIT_S} s.", advice=f"See {log}."
    )


def find() -> dict[str, Any] | None:
    """Return the status of this home folder's daemon; None if it does not run."""
    try:
        record = json.loads(discovery_file(home_folder()).read_text(encoding="utf-8"))
        answer = httpx.get(f"{record['api_url']}/localfly/status", timeout=5, trust_env=False)
        status: dict[str, Any] = answer.json()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return None
    return status if status.get("home") == str(home_folder()) else None


@app.command(epilog="Example: localfly stop")
def stop() -> None:
    """Stop the daemon and its machines; state and volumes are kept."""
    running = find()
    if running is None:
        typer.echo("The local Fly is not running.", err=True)
        return
    httpx.post(f"{running['api_url']}/localfly/stop", timeout=5, trust_env=False)
    deadline = time.monotonic() + STOP_LIMIT_S
    while time.monotonic() < deadline:
        try:
            lock_home(home_folder()).close()
        except LocalFlyError:
            time.sleep(POLL_S)
            continue
        return
    raise LocalFlyError(
        f"The daemon did not stop within {STOP_LIMIT_S} s.",
        advice=f"End its process: kill {running['pid']}.",
    )


@app.command(epilog="Example: localfly status --json")
def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
    """Show the daemon's address, apps and machines; exit with 1 if it does not run."""
    running = find()
    if running is None:
        typer.echo("The local Fly is not running.", err=True)
        return 1
    if as_json:
        typer.echo(json.dumps(running, indent=2))
        return 0
    typer.echo(f"{running['api_url']} (process {running['pid']})")
    for name, entry in running["apps"].items():
        states = ", ".join(f"{m['name']} {m['state']}" for m in entry["machines"]) or "no machines"
        typer.echo(f"{name}: {entry['url'] or '-'}: {states}")
    return 0


@app.command(epilog="Example: localfly reset --yes")
def reset(
    *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False
) -> None:
    """Stop the daemon and delete apps, machines and volumes; built images are kept."""
    home = home_folder()
    if not yes:
        typer.confirm(f"Delete every app and volume in {home}?", abort=True)
    stop()
    end_strays(home)
    cache = cache_folder().resolve()
    for entry in home.iterdir() if home.is_dir() else ():
        if entry.resolve() == cache:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def end_strays(home: Path) -> None:
    """End the machines of a killed daemon: a new daemon adopts and stops them."""
    if (home / "state.db").exists():
        with contextlib.suppress(LocalFlyError):  # a damaged state is deleted anyway
            start_detached(0, "")
            stop()


@app.command(epilog="Example: localfly logs acme --follow")
def logs(
    name: Annotated[
        str, typer.Argument(metavar="[APP]", help="An app; the daemon's own log if left out.")
    ] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until Ctrl-C.")] = False,
) -> None:
    """Print what an app's machines wrote."""
    running = find()
    if running is None:
        raise LocalFlyError(
            "The local Fly is not running.", advice="Start it: localfly start --detach."
        )
    params = {"app": name, **({"follow": "1"} if follow else {})}
    url = f"{running['api_url']}/localfly/logs"
    with httpx.stream("GET", url, params=params, timeout=None, trust_env=False) as answer:  # noqa: S113 - --follow streams without end
        if answer.status_code != httpx.codes.OK:
            raise LocalFlyError(f"There is no app {name}.", advice="See: localfly status.")
        for text in answer.iter_text():
            typer.echo(text, nl=False)


@app.command(
    epilog="Example: localfly env flyctl status -a acme",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def env(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="A command to run with the variables."),
    ] = None,
) -> None:
    """Print the variables that let flyctl reach the local Fly and nothing else, or run a command."""
    running = find()
    if running is None:
        raise LocalFlyError(
            "The local Fly is not running.", advice="Start it: localfly start --detach."
        )
    token = os.environ.get("LOCALFLY_TOKEN") or "local"
    variables = client_environment(running["api_url"], home_folder(), token)
    if not command:
        for name, value in variables.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        return
    os.execvpe(command[0], command, {**os.environ, **variables})  # noqa: S606 - the user's command


image_app = typer.Typer(help="Build images from folders of parts.", rich_markup_mode=None)
app.add_typer(image_app, name="image")


@image_app.command(
    "build", epilog="Example: localfly image build ./deploy --version 1.2.3 --ref acme:1"
)
def image_build(
    context: Annotated[Path, typer.Argument(help="The folder with image.json.")],
    version: Annotated[str, typer.Option(help="Replaces {version} in the lock's name.")],
    ref: Annotated[str, typer.Option(help="The reference for machine configs.")],
) -> None:
    """Build an image from a folder with image.json; needs no daemon."""
    build = Images(cache_folder()).build(
        context, version, ref, lambda line: typer.echo(line, err=True)
    )
    typer.echo(asyncio.run(build).image.digest)
