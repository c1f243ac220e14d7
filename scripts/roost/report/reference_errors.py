"""The error reference: each error's word and exit code, its cause, and what to do about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from roost import errors
from roost.errors import ExitCode, RoostError
from roost.errors.command import TYPED, Command, rendered

EXIT_CODES = {
    ExitCode.DONE: "Done. For a command that compares: no difference.",
    ExitCode.ERROR: "An error. The message names the cause and the next step.",
    ExitCode.CHANGES: "There are differences. Only commands that compare end with it, such as "
    "`drift`, `doctor` and `secrets --exit-code`.",
    ExitCode.BAD_INPUT: "Bad input: a file, an option, a secret or a token. Nothing was changed.",
    ExitCode.ROLLED_BACK: "The gate failed, and the last good release was restored.",
    ExitCode.NOT_ROLLED_BACK: "The gate failed, and nothing was restored. The message says what "
    "runs now.",
}
INTERRUPTED = "130", "Stopped by Ctrl-C. Completed steps stay; run the same command to go on."

# What to do about each error, by its word. The message of a single error is more exact: it names
# the file, the machine and the command.
REMEDIES = {
    # Input
    "invalid-files": f"Correct each listed line and run `{Command('validate')}` again.",
    "unknown-environment": "Check the spelling. The files are in `environments/`.",
    "usage": "Run the command with `--help`.",
    "secret-missing": "Set the variable that the message names, or add the value to the SOPS file.",
    "secret-unusable": "Set another value. The message says what is wrong with its form.",
    "database-unusable": "Correct the address in the secret. The server that runs was not changed.",
    "tool-missing": "Install PostgreSQL's client programs of the server's version or a newer one.",
    "token-missing": "Set `FLY_API_TOKEN` (or `GITHUB_TOKEN`), or use `--local`.",
    "lock-missing": "Run `./run lock VERSION` and commit the two files that it writes.",
    # Fly
    "fly-error": "Read Fly's own words in the message. Report the `fly-request-id` to Fly.",
    "fly-unauthorized": "Make a new token: `fly tokens create deploy -a APP -x 720h`.",
    "fly-forbidden": "Use a token of this app's organization, or choose another app name.",
    "fly-not-found": "Check `app` and `organization`. An app that was just created can take a moment.",
    "fly-leased": "Wait for the other command to end. A lease that nobody refreshes ends in 30 s.",
    "fly-conflict": f"Run `{Command('plan', 'ENV')}` to see what exists now.",
    "fly-precondition": "Run the command again. It plans on the current state.",
    "fly-capacity": "Try again later, or choose another `region` or a smaller `machine.size`.",
    "fly-rejected": "Read Fly's words. Where a value of the file is meant, correct it.",
    "fly-rate-limited": "Wait a minute, then run the same command again.",
    "fly-unavailable": "See https://status.flyio.net, then run the same command again: it continues.",
    "fly-wait-timeout": f"Run `{Command('status', 'ENV')}`, then the same command again.",
    "fly-answer": "Run the command again. If it stays, report it with the message.",
    # GitHub
    "github-error": "Read GitHub's own words in the message.",
    "github-unauthorized": "Set `GITHUB_TOKEN` to a valid token, such as `gh auth token` prints.",
    "github-forbidden": "Give the token the permission that the message names.",
    "github-not-found": "Check the repository's name and what the token can see.",
    "github-conflict": "Run the job again. It reads the current state.",
    "github-rejected": "Read GitHub's words in the message.",
    "github-rate-limited": "Run the job again after the time in the message.",
    "github-unavailable": "See https://www.githubstatus.com, then run the job again.",
    "github-answer": "Run the job again. If it stays, report it with the message.",
    "update": "Read git's words in the message, or the name of the file. The checkout is as it was.",
    "package-index": "Check `UV_DEFAULT_INDEX`, then run the workflow again.",
    "service-error": "Read the service's own words in the message.",
    # Changes
    "lease-lost": "Somebody else may have changed the machine. Plan again and compare.",
    "changed-meanwhile": "Somebody else applied at the same time. Plan again, then apply.",
    "private-network": "Run the command inside the network: docs/github.md, A private server.",
    "secrets-lag": "Run the same command again: it continues.",
    "overtime": f"Run `{Command('plan', 'ENV')}` to see what is left, then the same command again.",
    "cannot-apply": "Follow the message: it names the field or the step, and the way around it.",
    "cannot-import": "Follow the message: it names what no file can say, and what to change first.",
    "protected": "Remove `protected: true` in a reviewed change first, if you mean it.",
    "image": "Read the builder's output above the message, correct that, run it again.",
    # Gate
    "machine-failed": "Read the machine's log. A wrong setting or too little memory are usual.",
    "gate": "Read the failed check and the server's last error in the message.",
    "gate-failed": "Correct the file. The failed release is refused until the file changes or "
    f"`{Command('releases', 'ENV', '--clear', 'N')}`.",
    "gate-failed-not-rolled-back": "Read what runs now in the message. Correct the file and apply.",
    "smoke-failed": f"Read the failed check. `{Command('status', 'ENV')}` shows the machine.",
    "prefect-objects": "Read Prefect's words for each object, correct its entry, and apply again: it "
    "continues with what is left.",
    "rehearsal-failed": "Read the failed check in the comment; reproduce it with "
    f"`{Command('rehearse', 'ENV')}`.",
    "database-not-moved": "Correct what the message names in the data or at the database. The server "
    "serves the database that it had before; run the same command again.",
    # Backups
    "snapshot": "See `fly volumes snapshots list`, then run the command again.",
    "other-database": "Remove the setting or secret that names another database.",
    "not-held-still": "Read the server's log, or stop the machine and copy it at rest.",
    "bucket": f"Correct what the message names in `database.backups`, its two secrets, or the bucket's rules; then `{Command('backups', 'ENV')}` lists the dumps.",
    "dump": f"Read the database's words in the message. `{Command('doctor', 'ENV', '--database')}` shows more.",
    "drill-failed": "Take another backup and practise with that one. The server was not touched.",
    # The client of a user
    "client-missing": "Activate the virtual environment of your flows, or install Prefect in it.",
    "client-failed": "Read the client's own words in the message; check the address and the login.",
    # Workflows
    "bad-event": "Run the command as a step of a workflow.",
    "runner-file": "Run the command as a step of a workflow.",
    "bad-document": "Read the log of the job that should have left the file; run the workflow again.",
    "plan-changed": "Read the new plan in the summary of the run. Run *Deploy* with its digest, if "
    "it is right.",
    "not-planned": "Open a pull request, or run *Deploy* with the digest of the plan.",
    "not-proved": "Correct the environment that failed; the protected ones are deployed after it.",
    "superseded": "Nothing to do: the run of the newer commit deploys it.",
    "not-permitted": "Ask somebody with the role maintain or admin to run it, or a reviewer to "
    "approve the run.",
    # Roost
    "local-fly": f"Run `{Command('local', 'status')}`, and `{Command('local', 'logs', 'APP')}`.",
    "internal": "Report it, with the output of the same command under `ROOST_TRACEBACK=1`.",
    "error": "Read the message: the computer's own words, such as a full disk.",
}
GROUPS = (
    ("Fly", "Fly"),
    ("GitHub", "GitHub"),
)
HEAD = """\
# Errors

Generated by `./run docs` from `roost.errors`. Do not edit.

A command that fails prints one line: `roost: error [WORD]: WHERE: WHAT. NEXT STEP`. The word is for
scripts and for this page. In a workflow the same line is an annotation as well. [Troubleshooting](../troubleshooting.md) starts from the symptom instead.
"""


def error_classes() -> tuple[type[RoostError], ...]:
    """Return every error class of `roost.errors`, in the order of that module."""
    found = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, RoostError)
    ]
    return tuple(dict.fromkeys(found))


def errors_reference() -> str:
    """Return the page docs/reference/errors.md.

    Raises:
        KeyError: an error has no remedy.
    """
    return "\n".join([HEAD, *_exit_codes(), *_tables()]) + "\n"


def _exit_codes() -> Iterator[str]:
    yield from ("## Exit codes", "", "| code | meaning |", "|---|---|")
    for code, meaning in EXIT_CODES.items():
        yield f"| {int(code)} | {meaning} |"
    yield f"| {INTERRUPTED[0]} | {INTERRUPTED[1]} |"


def _tables() -> Iterator[str]:
    classes = error_classes()
    for title, prefix in GROUPS:
        chosen = [kind for kind in classes if kind.__name__.startswith(prefix)]
        yield from _table(f"Errors of {title}", chosen)
    others = [
        kind
        for kind in classes
        if not any(kind.__name__.startswith(prefix) for _, prefix in GROUPS)
    ]
    yield from _table("Errors of Roost", others)


def _table(title: str, classes: list[type[RoostError]]) -> Iterator[str]:
    yield from (
        "",
        f"## {title}",
        "",
        "| word | exit code | cause | what to do |",
        "|---|---|---|---|",
    )
    for kind in sorted(classes, key=lambda kind: kind.word):
        cause = _cell(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0])
        yield f"| `{kind.word}` | {int(kind.exit_code)} | {cause} | {_cell(rendered(REMEDIES[kind.word], TYPED))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
