"""Choose the failed release to allow again, or explain why it cannot be. Pure."""

from __future__ import annotations

from roost.errors import UnappliableError, UsageError
from roost.errors.command import Command
from roost.plan.releases import Release, Verdict, failed_like


def find_release(environment: str, releases: tuple[Release, ...], number: int) -> Release:
    """Return a release by its number.

    Raises:
        UsageError: no machine has a record of it; the message lists those that exist.
    """
    for release in releases:
        if release.number == number:
            return release
    numbers = ", ".join(str(release.number) for release in releases)
    raise UsageError(
        f"There is no release {number}, or its record was dropped; there are {numbers}."
        if releases
        else f"There is no release {number}: the environment has none yet.",
        where=environment,
        advice=f"See them: `{Command('releases', environment)}`."
        if releases
        else f"Make the first one: {Command('apply', environment)}",
    )


def check_clearable(environment: str, releases: tuple[Release, ...], number: int) -> Release:
    """Return a failed release that applies refuse, by its number.

    Raises:
        UsageError: there is no such release.
        UnappliableError: applies do not refuse it.
    """
    release = find_release(environment, releases, number)
    if release.verdict is not Verdict.FAILED:
        what, advice = _not_failed(environment, release)
        raise UnappliableError(what, where=environment, advice=advice)
    later = failed_like(releases, release.identity)
    if later is not None and later.number != number:
        raise UnappliableError(
            f"Release {number} failed again as release {later.number}, and that one is refused.",
            where=environment,
            advice=f"Clear that one: `{Command('releases', environment, '--clear', later.number)}`.",
        )
    return release


def _not_failed(environment: str, release: Release) -> tuple[str, str]:
    number = release.number
    match release.verdict:
        case Verdict.GOOD:
            what = f"Release {number} passed its gate, so there is nothing to clear."
            return (
                what,
                f"To roll back to it: `{Command('rollback', environment, '--to', number)}`.",
            )
        case Verdict.UNPROVED:
            what = f"Release {number} did not fail: its secrets changed while it slept."
            return what, f"Prove it, if it is live: `{Command('smoke', environment)}`."
        case Verdict.CLEARED:
            return (
                f"Release {number} is cleared already.",
                f"Try it: {Command('apply', environment)}",
            )
        case _:
            what = f"Release {number} has no verdict yet."
            return what, f"To prove it, or to apply the file: {Command('apply', environment)}"
