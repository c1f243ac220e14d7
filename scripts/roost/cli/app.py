"""The command line: arguments, environment and exit codes; what a verb does stands in `verbs/`.

Each verb imports its module when it runs, so that `roost --help` loads neither httpx, jsonschema
nor anything of a server.
"""

from __future__ import annotations

import functools
import io
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
import typer.exceptions

from roost.cli.github import github_app
from roost.cli.run import in_workflow, make_context, note_command, run, typed_here
from roost.errors import ExitCode, InternalError, InvalidFilesError, RoostError
from roost.report.hints import TYPED, as_typed

INTERRUPTED = 130

app = typer.Typer(
    name="roost",
    help="Self-hosted Prefect servers on Fly.io, kept in git. One file in environments/ is one server.",
    epilog="Start here: roost up staging (a real Prefect server on this machine, no Fly account)",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # loading rich would double the time of --help
    pretty_exceptions_enable=False,
)
local_app = typer.Typer(
    help="The local Fly: Fly's API, proxy and machines as processes of this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(local_app, name="local")
app.add_typer(github_app, name="github")

Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="A file in environments/, without .yaml.")
]
Local = Annotated[
    bool, typer.Option("--local", help="Use the local Fly, not Fly.io; started if need be.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
Paths = Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="Files or folders.")]


def _end_politely(number: int, frame: FrameType | None) -> NoReturn:
    """End as Ctrl-C does, wherever we are: perhaps between a coroutine and its await."""
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    signal.default_int_handler(number, frame)


def main(argv: list[str]) -> int:
    """Run one command line and return its exit code; every known failure is told in a sentence."""
    # A polite kill ends as Ctrl-C does: clean-up runs, nothing is left behind.
    # SIGINT too: a shell starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end_politely)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does by itself
    leave_no_core()
    note_command(argv)
    try:
        code = command()(argv, prog_name=TYPED, standalone_mode=False)
    except RoostError as error:
        return tell(error)
    except typer.exceptions.TyperException as error:
        print(misuse(error), file=sys.stderr)  # noqa: T201 - the command line's own voice
        return ExitCode.BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        # A full disk, a folder of somebody else: the system's own words say it best. A reader that
        # went away (`roost show ENV | head`) is none of these: typer and rich end us quietly, with 1.
        drop_output()
        return tell(RoostError(f"{error.strerror or error}.", where=str(error.filename or "")))
    except Exception as error:
        if os.environ.get("ROOST_TRACEBACK"):
            raise
        return tell(internal(error))
    if code == INTERRUPTED:  # typer makes this code of most interrupts itself
        print(  # noqa: T201 - the last word of a program
            "roost: stopped. What was done stays done; run the same command to go on.",
            file=sys.stderr,
        )
    return int(code or ExitCode.DONE)


@functools.cache
def command() -> Callable[..., int | None]:
    """Return the whole command line, built once for all calls in one process."""
    whole = typer.main.get_command(app)
    _write_examples(whole)
    return whole


def _write_examples(command: Any) -> None:
    """Write the example below the help of a command, and of all in it, as it is typed."""
    command.epilog = (command.epilog or "").replace("roost", TYPED, 1)
    for inner in getattr(command, "commands", {}).values():
        _write_examples(inner)


def leave_no_core() -> None:
    """Have no core written, of us or of what we start: it would hold values of secrets.

    The limit of one byte is what a handler that cores are piped to obeys as well (`man 5 core`).
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(
        resource.RLIMIT_CORE, (1 if most == resource.RLIM_INFINITY else min(1, most), most)
    )


def drop_output() -> None:
    """Let what is still to be written to standard output go nowhere, at exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def misuse(error: typer.exceptions.TyperException) -> str:
    """Return what is wrong with the command line; without any verb, what it could be."""
    said = error.format_message()
    if said.startswith("Usage:"):
        return said
    context = getattr(error, "ctx", None)
    command = context.command_path if context else TYPED
    ending = "" if said.endswith((".", "?", "!")) else "."
    return f"roost: {said}{ending} See: {command} --help"


def tell(error: RoostError) -> int:
    """Print a failure on standard error, with its machine word, and return its exit code.

    In a workflow GitHub is told as well, in its own way.
    """
    show = shown_quietly if in_workflow(os.environ) else shown_safely
    if isinstance(error, InvalidFilesError):
        for fault in error.faults:
            print(show(str(fault)), file=sys.stderr)  # noqa: T201 - see main
    local = typed_here(os.environ)
    said = str(error) if local is None else as_typed(str(error), local=local)
    lines = f"roost: error [{error.word}]: {said}".split("\n")  # what stands where has several
    print("\n".join(map(show, lines)), file=sys.stderr)  # noqa: T201 - see main
    if in_workflow(os.environ):
        from roost.workflows.run_page import show_failure

        show_failure(os.environ, error)
    return int(error.exit_code)


def shown_safely(line: str) -> str:
    """Write what a terminal would obey as its escape: file names and answers may hold anything."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def shown_quietly(line: str) -> str:
    """Write what a workflow's runner would obey so that it does not, too."""
    from roost.github.actions import quiet

    return quiet(shown_safely(line))


def internal(error: Exception) -> InternalError:
    """Return where in our own code a failure that nobody foresaw came from."""
    ours, place, frame = Path(__file__).parents[1], "?", error.__traceback__
    while frame:
        file = Path(frame.tb_frame.f_code.co_filename)
        if file.is_relative_to(ours):
            place = f"{file.relative_to(ours)}:{frame.tb_lineno}"
        frame = frame.tb_next
    return InternalError(type(error).__name__, place)


@app.command(epilog="Example: roost validate environments/ other/demo.yaml")
def validate(paths: Paths = None, *, as_json: AsJson = False) -> ExitCode:
    """Check environment files; ends with 3 when anything is wrong."""
    from roost.commands import files

    return files.validate(make_context(), paths or [], as_json=as_json)


@app.command(epilog="Example: roost show staging")
def show(environment: Environment, *, as_json: AsJson = False) -> ExitCode:
    """Print an environment with all defaults merged in, and the image it asks for."""
    from roost.commands import files

    return files.show(make_context(), environment, as_json=as_json)


@app.command(epilog="Example: roost init --environment demo --app my-prefect --region iad --yes")
def init(  # noqa: PLR0913 - one argument an option
    *,
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new file's name, without .yaml.")
    ] = None,
    fly_app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Name of its Fly app.")
    ] = None,
    organization: Annotated[
        str | None, typer.Option(metavar="ORG", help="Fly organization that pays.")
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="Fly region.")] = None,
    protected: Annotated[
        bool | None,
        typer.Option(
            "--protected/--no-protected",
            help="Nothing destroys it; its buttons need a maintainer or a reviewer.",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Fly's name of the CPU size.")
    ] = None,
    memory: Annotated[str | None, typer.Option(metavar="MB", help="Memory.")] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="DATABASE", help="sqlite or postgres.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="@NAME", help="Who reviews changes, on GitHub; or nobody.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing; take what is usual for the rest.")
    ] = False,
    run_commands: Annotated[
        bool, typer.Option("--run", help="Run the commands of fly and gh, asking for each.")
    ] = False,
) -> ExitCode:
    """Set up a new environment: its file, and the commands for tokens and GitHub."""
    from roost.commands import init as verb

    given = verb.Given(
        environment, fly_app, organization, region, protected, size, memory, backend, owner
    )
    return verb.init(make_context(), given, yes=yes, run=run_commands)


@app.command(epilog="Example: roost doctor staging")
def doctor(
    environments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENV...]", help="Files in environments/; all if left out."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> ExitCode:
    """Say what of the set-up is missing, here, on GitHub and on Fly; ends with 2 if anything is."""
    from roost.commands import doctor as verb

    return run(verb.doctor, environments or [], as_json)


@app.command(epilog="Example: roost image staging --push")
def image(
    environment: Environment,
    *,
    push: Annotated[
        bool,
        typer.Option("--push", help="Have it in the app's registry; built where it is not."),
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Print the image that an environment runs."""
    from roost.operations import images as verb

    return run(verb.image, environment, push, as_json)


@app.command(epilog="Example: roost schema > environments/environment.schema.json")
def schema(
    *,
    write: Annotated[bool, typer.Option("--write", help="Write the committed file anew.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="End with 2 when the committed file is stale.")
    ] = False,
) -> ExitCode:
    """Print the JSON Schema that editors use for environment files."""
    from roost.commands import files

    return files.schema(make_context(), write=write, check=check)


@app.command(epilog="Example: roost plan staging --local --json")
def plan(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 2 when there are changes.")
    ] = False,
) -> ExitCode:
    """Show what would change and what it costs; changes nothing."""
    from roost.operations import changes

    return run(changes.plan, environment, local, as_json, exit_code)


@app.command(epilog="Example: roost apply staging --local")
def apply(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    digest: Annotated[
        str, typer.Option(metavar="DIGEST", help="Apply only the plan with this digest.")
    ] = "",
) -> ExitCode:
    """Carry the plan out, then prove the server good."""
    from roost.operations import changes

    return run(changes.apply, environment, local, as_json, digest)


@app.command(epilog="Example: roost secrets production --set")
def secrets(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 2 when an apply would change one.")
    ] = False,
    set_them: Annotated[
        bool, typer.Option("--set", help="Set and roll out what changed, and nothing else.")
    ] = False,
) -> ExitCode:
    """Show how each secret stands, without any value; with --set, carry out what is to do."""
    from roost.commands import secrets as verb

    if set_them:
        return run(verb.set_secrets, environment, local, as_json, exit_code)
    return run(verb.secrets, environment, local, as_json, exit_code)


@app.command(epilog="Example: roost smoke http://127.0.0.1:4200 --version 3.9.1")
def smoke(
    target: Annotated[
        str, typer.Argument(metavar="URL|ENV", help="A Prefect server, or an environment.")
    ],
    *,
    local: Local = False,
    version: Annotated[str, typer.Option(help="The Prefect version it must report.")] = "",
    stock: Annotated[
        bool, typer.Option("--stock", help="Not our image: leave out what only ours does.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Prove a Prefect server good from outside; credentials from PREFECT_SERVER_API_AUTH_STRING."""
    from roost.commands import server

    return run(server.smoke, target, local, version, stock, as_json)


@app.command(epilog="Example: roost status staging --local")
def status(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """Show what runs now: machines, states, addresses, volume."""
    from roost.commands import server

    return run(server.status, environment, local, as_json)


@app.command(epilog="Example: roost sleep staging")
def sleep(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """Put the server to sleep now; the next request wakes it."""
    from roost.commands import server

    return run(server.sleep, environment, local, as_json)


@app.command(epilog="Example: roost wake staging")
def wake(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """Wake the server now and wait until it answers."""
    from roost.commands import server

    return run(server.wake, environment, local, as_json)


@app.command(epilog="Example: roost backup staging")
def backup(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """Take a snapshot of the server's data, with its database held still meanwhile."""
    from roost.commands import backups

    return run(backups.backup, environment, local, as_json)


@app.command(epilog="Example: roost backups staging --json")
def backups(environment: Environment, *, local: Local = False, as_json: AsJson = False) -> ExitCode:
    """List the snapshots: when, how large, kept until when, and why they were made."""
    from roost.commands import backups as verb

    return run(verb.backups, environment, local, as_json)


@app.command(epilog="Example: roost scale staging --memory-mb 1024 --until 4h --reason demo")
def scale(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    *,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Number of machines: 1, or 0 with postgres.")
    ] = None,
    min_machines_running: Annotated[
        int | None, typer.Option(metavar="N", help="0: may sleep. 1: always on.")
    ] = None,
    memory_mb: Annotated[int | None, typer.Option(metavar="MB", help="Memory.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Fly's name of the CPU size.")
    ] = None,
    until: Annotated[
        str, typer.Option(metavar="TIME", help="When it ends: 4h, 90m, or an RFC 3339 time.")
    ] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for others to read.")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="End the override now.")] = False,
    permanent: Annotated[
        bool, typer.Option("--permanent", help="Edit the file instead; call nothing.")
    ] = False,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Scale for a time, whatever the file says, or for good, in the file."""
    from roost.commands import scale as verb

    fields = {
        "size": size,
        "memory_mb": memory_mb,
        "count": count,
        "min_machines_running": min_machines_running,
    }
    wish = verb.Wish(fields, until, reason, clear, permanent)
    return run(verb.scale, environment, wish, local, as_json)


@app.command(epilog="Example: roost releases staging --clear 4")
def releases(
    environment: Environment,
    *,
    local: Local = False,
    as_json: AsJson = False,
    clear: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Allow the failed release N to be tried again."),
    ] = None,
) -> ExitCode:
    """List what was released, newest first: verdict, commit, version, image, snapshot, changes."""
    from roost.commands import releases as verb

    return run(verb.releases, environment, local, as_json, clear)


@app.command(epilog="Example: roost rollback staging --to 3")
def rollback(
    environment: Environment,
    *,
    local: Local = False,
    to: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Which release; the last good one if left out."),
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Put an earlier good release back, prove it, and leave the file as it is."""
    from roost.commands import releases as verb

    return run(verb.rollback, environment, local, to, as_json)


@app.command(epilog="Example: roost restore staging --snapshot vs_1a2b3c")
def restore(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    *,
    snapshot: Annotated[
        str, typer.Option(metavar="ID", help="What to restore; the newest if left out.")
    ] = "",
    confirm: Annotated[
        str, typer.Option(metavar="VOLUME", help="Remove the volume an earlier restore left.")
    ] = "",
    drill: Annotated[
        bool, typer.Option("--drill", help="Only prove that it could be, beside the server.")
    ] = False,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Put a snapshot's data back: a new machine on a new volume, proved before the old one goes."""
    from roost.commands import backups

    if confirm:
        return run(backups.confirm, environment, confirm, local)
    if drill:
        return run(backups.drill, environment, snapshot, local, as_json)
    return run(backups.restore, environment, snapshot, local, as_json)


@app.command(epilog="Example: roost destroy demo --confirm acme-prefect-demo")
def destroy(
    environment: Environment,
    *,
    confirm: Annotated[
        str, typer.Option(metavar="APP", help="The app's name, where nobody can type it.")
    ] = "",
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Remove the server after a last snapshot of its data, which is kept."""
    from roost.commands import destroy as verb

    return run(verb.destroy, environment, confirm, local, as_json)


@app.command(epilog="Example: roost drift staging --heal")
def drift(  # noqa: PLR0913 - one argument an option
    environment: Annotated[
        str, typer.Argument(metavar="[ENV]", help="A file in environments/, without .yaml.")
    ] = "",
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Every environment, and apps that no file asks for.")
    ] = False,
    heal: Annotated[
        bool, typer.Option("--heal", help="Put back what a hand changed or an override left.")
    ] = False,
    end_overrides: Annotated[
        bool,
        typer.Option("--end-overrides", help="Put back what an override left, and nothing else."),
    ] = False,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where what was found is a file, ENV.json.")
    ] = None,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Show where live differs from the files, and why; ends with 2 where it does."""
    from roost.commands import drift as verb

    mends = verb.mending(heal=heal, end_overrides=end_overrides)
    return run(verb.drift, environment, every, mends, local, as_json, results)


@app.command(epilog="Example: roost up staging --exit")
def up(
    environment: Annotated[
        str, typer.Argument(metavar="[ENV]", help="A file in environments/.")
    ] = "staging",
    *,
    leave: Annotated[bool, typer.Option("--exit", help="Prove sleep and wake, then stop.")] = False,
) -> ExitCode:
    """Bring an environment up on the local Fly: validate, plan, apply, prove; until Ctrl-C."""
    from roost.commands import up as verb

    return run(verb.up, environment, leave)


@app.command(epilog="Example: roost rehearse staging --base ../base --results results")
def rehearse(
    environments: Annotated[
        list[str], typer.Argument(metavar="ENV...", help="Files in environments/, without .yaml.")
    ],
    *,
    base: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A checkout of what is there now; else nothing is."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write DIR/ENV.json for each.")
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Try a change on a local Fly of its own, from the base to the proof; needs no token, no value."""
    from roost.commands import rehearse as verb

    return run(verb.rehearse, tuple(environments), base, results, as_json)


@local_app.command("start", epilog="Example: roost local start --port 4280")
def local_start(
    port: Annotated[int | None, typer.Option(help="Port of its API; free one if left out.")] = None,
) -> ExitCode:
    """Start the local Fly in the background."""
    from roost.commands import local

    return run(local.start, port)


@local_app.command("stop", epilog="Example: roost local stop")
def local_stop() -> ExitCode:
    """Stop it and its machines; what they stored stays."""
    from roost.commands import local

    return run(local.stop)


@local_app.command("status", epilog="Example: roost local status --json")
def local_status(*, as_json: AsJson = False) -> ExitCode:
    """Show its address, apps and machines."""
    from roost.commands import local

    return run(local.status, as_json)


@local_app.command("logs", epilog="Example: roost local logs acme-prefect-staging --follow")
def local_logs(
    name: Annotated[
        str, typer.Argument(metavar="[APP]", help="An app; its own log if left out.")
    ] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> ExitCode:
    """Print what an app's machines wrote, or the local Fly itself."""
    from roost.commands import local

    return run(local.logs, name, follow)


@local_app.command("reset", epilog="Example: roost local reset --yes")
def local_reset(
    *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> ExitCode:
    """Stop it and delete all it stored, volumes too."""
    from roost.commands import local

    return run(local.reset, yes)
