"""Choose the release for a rollback by hand, or explain why there is none. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from roost.errors import UnappliableError, UsageError
from roost.errors.command import Command
from roost.plan.allow_retry import find_release
from roost.plan.database_move import with_kept_volume
from roost.plan.desired import OVERRIDE_KEY, Desired, named_database
from roost.plan.ignored import adopt
from roost.plan.live import Live
from roost.plan.objects_record import record_on
from roost.plan.override import decode
from roost.plan.ownership import our_machines
from roost.plan.releases import (
    Release,
    Verdict,
    current,
    desired_of,
    draft,
    failed_like,
    is_older,
    last_proved,
    on_left_database,
    releases_on,
    secrets_digest,
)
from roost.plan.resume import Recovery
from roost.plan.steps import Json

Releases = tuple[Release, ...]

_UNPROVED = {
    Verdict.PENDING: "was never proved",
    Verdict.FAILED: "failed",
    Verdict.CLEARED: "failed, and was only cleared to be tried again",
}


def roll_back(desired: Desired, live: Live, to: int | None) -> Recovery:
    """Return the target of a rollback by hand.

    Args:
        desired: what the file asks for; everything but the machines stays as it says.
        live: the live state.
        to: number of the release; None for the last good one before the live one.

    Raises:
        UsageError: there is no such release.
        UnappliableError: it cannot be rolled back to; the message lists those that can.
    """
    releases = releases_on(our_machines(desired, live).values())
    now = current(releases)
    if now is None:
        raise UsageError(
            f"{desired.environment} has no release yet.",
            advice=f"Make the first one: {Command('apply', desired.environment)}",
        )
    in_force = _override(desired.machines[0].config if desired.machines else {})
    release = choose_release(desired.environment, releases, to, in_force)
    _check_database(desired.environment, releases, release)
    # With the earlier database, the rows that a proved release acknowledged since would be lost.
    moved = any(
        later.was_proved and later.number > release.number and is_older(release, later)
        for later in releases
    )
    target = with_kept_volume(desired_of(release, desired, back=not moved), live)
    asked = adopt(target, live)
    notes = (*(left.sentence for left in asked.left), *_notes(desired, live, releases, release))
    return Recovery(asked.desired, releases, back_to=release.origin, items=notes)


def _check_database(environment: str, releases: Releases, release: Release) -> None:
    """Refuse a release whose database was left: clients have written to the other one since.

    Raises:
        UnappliableError: the server was proved on the other database after that release.
    """
    later = (r for r in releases if r.was_proved and on_left_database(release, r))
    moved = next((r for r in later if r.number > release.number), None)
    if moved is not None:
        left, found = "the database on the volume", "PostgreSQL"
        if named_database(release.config) == "postgres":
            left, found = "PostgreSQL", "a volume"
        raise UnappliableError(
            f"Release {release.number} serves {left}, and release {moved.number} "
            f"moved the data to {found}, where clients have written since; that would be lost.",
            where=environment,
            advice=f"Choose a later release: `{Command('releases', environment)}`.",
        )


def before(releases: Releases, in_force: str = "") -> Release | None:
    """Return the last good release before the live one; unproved ones are skipped.

    A rollback counts as the release it restored. So a second rollback goes further back, not to what
    was just left, and an interrupted one continues. A release under an override that has ended was
    never meant to stay, and is skipped.

    Args:
        releases: all release records on the machines.
        in_force: the override in effect now, as in metadata; empty for none.
    """
    now = releases[-1]
    if now.verdict is Verdict.PENDING and now.back_to:
        return last_proved(r for r in releases if r.number <= now.back_to)
    others = [r for r in releases if r.setup != now.setup]
    lasting = [r for r in others if r.override in ("", in_force)]
    if not now.was_proved:
        last = last_proved(releases)
        return last and (last_proved(r for r in lasting if not is_older(r, last)) or last)
    earlier = (r for r in lasting if r.number < now.origin)
    return last_proved(r for r in earlier if not failed_like(releases, r.identity))


def choose_release(
    environment: str, releases: Releases, to: int | None, in_force: str = ""
) -> Release:
    """Return the release for a rollback: the named one, or the last good one before the live one.

    Raises:
        UnappliableError: there is none, it is not good, or it is live already.
    """
    release = before(releases, in_force) if to is None else find_release(environment, releases, to)
    if release is None:
        raise UnappliableError(
            f"There is no good release before release {releases[-1].number}.",
            where=environment,
            advice=f"{_named(environment, releases)}List them: `{Command('releases', environment)}`.",
        )
    if not release.was_proved:
        raise _refused(environment, releases, f"Release {release.number} {_wrong(release)}.")
    now = releases[-1]
    if now.was_proved and release.setup == now.setup:
        raise _refused(environment, releases, _same(now, release))
    failed = failed_like(releases, release.identity)
    if failed and failed is not now:
        raise UnappliableError(
            f"Release {release.number} failed when it was restored as release {failed.number}: "
            f"{failed.why}",
            where=environment,
            advice=f"Allow it again: `{Command('releases', environment, '--clear', failed.number)}`.",
        )
    return release


def _named(environment: str, releases: Releases) -> str:
    """Name the release that was skipped because its latest secrets were not proved."""
    earlier = [r.number for r in releases[:-1] if r.verdict is Verdict.UNPROVED]
    if not earlier:
        return ""
    return (
        f"Release {earlier[-1]} was never proved with its latest secrets; to roll back to it "
        f"nevertheless: `{Command('rollback', environment, '--to', earlier[-1])}`. "
    )


def _same(now: Release, release: Release) -> str:
    if now.number == release.number:
        return f"Release {now.number} is live already."
    return f"Release {now.number}, which is live, is the same configuration as {release.number}."


def _wrong(release: Release) -> str:
    why = f": {release.why.rstrip('.')}" if release.why else ""
    return f"{_UNPROVED[release.verdict]}{why}"


def _refused(environment: str, releases: Releases, what: str) -> UnappliableError:
    now = releases[-1]
    good = [r for r in releases if r.verdict is Verdict.GOOD and r.setup != now.setup]
    numbers = ", ".join(str(release.number) for release in good)
    way = f"Good releases: {numbers}." if good else "There is no other good release."
    return UnappliableError(
        what, where=environment, advice=f"{way} List them: `{Command('releases', environment)}`."
    )


def _notes(desired: Desired, live: Live, releases: Releases, release: Release) -> Iterator[str]:
    """Yield what a rollback does not restore, and what the next apply would undo."""
    number = release.number
    if release.secrets != secrets_digest(live.secrets):
        yield f"Secrets changed since release {number}; a rollback does not restore their values."
    yield from _override_notes(desired, release)
    if desired.objects or record_on(our_machines(desired, live).values()):
        yield (
            "Prefect's objects stay as they are: a rollback changes only the server. To change them "
            "back, revert their file and apply."
        )
    wanted = draft(desired, live, releases)
    if wanted is None or wanted.setup != release.setup:
        yield (
            f"The file asks for something else than release {number}: merge a revert of it, or "
            "the next apply undoes the rollback."
        )


def _override_notes(desired: Desired, release: Release) -> Iterator[str]:
    in_force = _override(desired.machines[0].config if desired.machines else {})
    restored = release.override
    if restored == in_force:
        return
    if in_force:
        yield "The scaling override in force ends."
    if found := decode(restored):
        yield (
            f"Release {release.number} ran with a scaling override, which is restored with it: "
            f"{found.summary()}. To end it again: `{Command('scale', desired.environment, '--clear')}`."
        )


def _override(config: Json) -> str:
    return str(config.get("metadata", {}).get(OVERRIDE_KEY, ""))
