"""`roost update`: take a newer release of Roost into a repository that began as its template."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, ValidationError

from roost.errors import ExitCode, UpdateError, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.release_files import (
    RECORD,
    TESTS,
    Entry,
    Files,
    broken,
    changes_between,
    is_kept,
    is_ours,
    likeness,
    missing_files,
    number_of,
)
from roost.operations.release_git import Checkout, Release

LEAST_LIKE = 0.5
"""A repository of which less is like any release did not begin as this template."""
WORKFLOWS = ".github/workflows/"
MOST_LINES = 40
UNDO = "git reset --hard"


class Record(BaseModel):
    """What a repository knows of the release that it has, in `.roost-release`.

    Args:
        source: the repository that releases are fetched from.
        version: the release.
        commit: what its tag named.
        slim: whether Roost's own tests are left out.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    source: str
    version: str
    commit: str
    slim: bool = False

    def encoded(self) -> bytes:
        """Return the content of the file."""
        return (json.dumps(self.model_dump(), indent=2) + "\n").encode()


@dataclass(frozen=True)
class Step:
    """One update: from which release to which, and what both have.

    Args:
        before: the release that the repository has.
        after: the release to take.
        record: what is written down of it.
        was_slim: whether tests are left out already.
    """

    before: Release
    after: Release
    record: Record
    was_slim: bool


async def update(
    context: Context, *, version: str | None, source: str | None, slim: bool
) -> ExitCode:
    """Merge a release into the checkout, and leave the result staged for its owner to commit.

    Raises:
        UsageError: the checkout is not clean, or there is no such release.
        UpdateError: the release cannot be fetched or is broken; the checkout was not changed.
    """
    return await anyio.to_thread.run_sync(partial(_update, context, version, source, slim=slim))


def _update(context: Context, version: str | None, source: str | None, *, slim: bool) -> ExitCode:
    checkout = Checkout(context.project, context.environ)
    check_clean(checkout)
    known = read_record(context)
    wanted = wanted_source(source, known)
    context.progress.print("Fetching the releases", markup=False)
    checkout.fetch(wanted)
    step = choose(checkout, known, version, wanted, slim=slim)
    if step is None:
        context.out.print(f"Release {known.version if known else ''} is the newest.", markup=False)
        return ExitCode.DONE
    _check_release(checkout, step)
    context.progress.print(
        f"Merging release {step.after.version} ({step.after.commit[:10]}) into what began as "
        f"{step.before.version}",
        markup=False,
    )
    base, theirs = sides(checkout, step)
    conflicts = checkout.merge(base, theirs, f"Roost {step.after.version}")
    for line in _report(checkout, step, conflicts):
        context.out.print(line, markup=False, soft_wrap=True)
    return ExitCode.CHANGES if conflicts else ExitCode.DONE


def check_clean(checkout: Checkout) -> None:
    """Check that an update could be taken back.

    Raises:
        UsageError: the checkout has changes, or is none.
    """
    if not checkout.is_top():
        raise UsageError(
            "This is not the top of a git checkout with a commit.",
            where=str(checkout.folder),
            advice="Run it in your repository; commit its files first.",
        )
    if not checkout.is_clean():
        raise UsageError(
            "The checkout has changes that are not committed.",
            where=str(checkout.folder),
            advice=(
                f"Commit or stash them. After an update that was interrupted: {UNDO}, then `git status` "
                "names new files that it left."
            ),
        )


def read_record(context: Context) -> Record | None:
    """Return what the repository knows of its release; None where it never took one.

    Raises:
        UsageError: the file is something else.
    """
    path = context.project / RECORD
    if not path.exists():
        return None
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError:
        raise UsageError(
            "This is no record of a release.",
            where=RECORD,
            advice=f"Restore it: git log -- {RECORD}; or delete it, and name --from again.",
        ) from None


def wanted_source(source: str | None, known: Record | None) -> str:
    """Return the repository to fetch from.

    Raises:
        UsageError: nobody named one.
    """
    if source and _has_login(source):
        raise UsageError(
            "The address has a login in it, and it would be written down in the repository.",
            where="--from",
            advice="Leave it out; git asks its credential helper, or SSH has a key.",
        )
    if source:
        return source
    if known:
        return known.source
    raise UsageError(
        "This repository does not know yet where releases come from.",
        where="--from",
        advice=f"Name the template's address once: {Command('update', '--from', 'https://github.com/OWNER/roost')}",
    )


def _has_login(source: str) -> bool:
    """Return whether an address has a password or a token; the user of SSH is none."""
    _, mark, rest = source.partition("://")
    who, at, _ = rest.partition("/")[0].rpartition("@")
    return bool(mark and at) and (":" in who or not source.startswith("ssh://"))


def choose(
    checkout: Checkout, known: Record | None, version: str | None, source: str, *, slim: bool
) -> Step | None:
    """Return the update to make; None where the repository has the newest release.

    Raises:
        UsageError: there is no such release, or it is older than that of the repository.
        UpdateError: a tag has moved, or the repository is like no release.
    """
    releases = checkout.releases()
    if not releases:
        raise UsageError("There is no release.", where=source, advice="Check the address.")
    before = _before(checkout, releases, known)
    number = number_of(version) if version else max(releases)
    after = releases.get(number) if number else None
    if after is None:
        names = ", ".join(releases[each].version for each in sorted(releases)[-5:])
        raise UsageError(
            f"There is no release {version}.", where=source, advice=f"The newest are: {names}."
        )
    was_slim = known.slim if known else False
    if after.number < before.number:
        raise UsageError(
            f"Release {after.version} is older than {before.version}, which this repository has.",
            where="VERSION",
            advice="To go back, revert the commit of the update.",
        )
    slim = slim or was_slim
    if known and after.number == before.number and slim == was_slim:
        return None
    record = Record(source=source, version=after.version, commit=after.commit, slim=slim)
    return Step(before, after, record, was_slim)


def _before(
    checkout: Checkout, releases: Mapping[tuple[int, int, int], Release], known: Record | None
) -> Release:
    """Return the release that the repository has: the recorded one, else the one it is most like."""
    if known is not None:
        number = number_of(known.version)
        found = releases.get(number) if number else None
        if found is None or found.commit != known.commit:
            raise UpdateError(
                f"The tag of {known.version} names another commit than the one this repository took.",
                where=RECORD,
                advice="A release never moves. Ask whoever published it before you take another.",
            )
        return found
    here = checkout.files("HEAD")
    alike = {each: likeness(checkout.files(each.commit), here) for each in releases.values()}
    best = max(alike, key=lambda release: (alike[release], release.number))
    if alike[best] < LEAST_LIKE:
        raise UpdateError(
            f"Only {alike[best]:.0%} of the files of {best.version} are here as they were.",
            where=str(checkout.folder),
            advice="Did this repository begin as this template? Merge the release by hand.",
        )
    return best


def _check_release(checkout: Checkout, step: Step) -> None:
    """Check that a release is whole before anything is taken from it.

    Raises:
        UpdateError: a file is missing, or one that the update changes does not parse.
    """
    before, after = checkout.files(step.before.commit), checkout.files(step.after.commit)
    faults = [f"{path} is missing" for path in missing_files(after)]
    if not faults and (own := _own_version(checkout, after)) != step.after.version:
        faults.append(f"its pyproject.toml says {own or 'no version'}")
    changed = {path: e for path, e in after.items() if is_ours(path) and before.get(path) != e}
    for path, content in checkout.contents(changed).items():
        if why := broken(path, content):
            faults.append(f"{path} {why}")
    if faults:
        raise UpdateError(
            f"Release {step.after.version} is broken: {'; '.join(faults[:5])}.",
            where=step.record.source,
            advice="Nothing was changed. Take another release, and report it.",
        )


def _own_version(checkout: Checkout, release: Files) -> str:
    """Return the version that a release calls itself; empty for none."""
    found = checkout.contents({"project": release["pyproject.toml"]})["project"]
    try:
        return str(tomllib.loads(found.decode())["project"]["version"])
    except (ValueError, LookupError, TypeError):
        return ""


def sides(checkout: Checkout, step: Step) -> tuple[str, str]:
    """Return the two commits between which the change lies that is merged into the checkout."""
    here = checkout.files("HEAD")
    old = _ours_of(checkout.files(step.before.commit), slim=step.was_slim)
    new = _ours_of(checkout.files(step.after.commit), slim=step.record.slim)
    users = {path: entry for path, entry in here.items() if path not in old.keys() | new.keys()}
    kept = {path: entry for path, entry in old.items() if is_kept(path) and path not in new}
    record = Entry("100644", checkout.blob(step.record.encoded()))
    base = checkout.commit_of({**users, **old}, f"Roost {step.before.version}")
    theirs = checkout.commit_of(
        {**users, **kept, **new, RECORD: record}, f"Roost {step.after.version}", [base]
    )
    return base, theirs


def _ours_of(release: Files, *, slim: bool) -> Files:
    """Return the files of a release that an update brings."""
    return {
        path: entry
        for path, entry in release.items()
        if is_ours(path) and not (slim and path.startswith(TESTS))
    }


def _report(checkout: Checkout, step: Step, conflicts: tuple[str, ...]) -> Iterator[str]:
    """Yield what was done, what an operator must know, and the next step."""
    changed = checkout.changed()
    yield f"Release {step.after.version} is merged: {len(changed)} files changed, and staged."
    log = checkout.contents({"log": checkout.files(step.after.commit)["CHANGELOG.md"]})["log"]
    for version, text in changes_between(
        log.decode(errors="replace"), step.before.number, step.after.number
    ):
        yield f"\nWhat changed in {version} (CHANGELOG.md):"
        lines = text.splitlines()
        yield from (f"  {line}" for line in lines[:MOST_LINES])
        if len(lines) > MOST_LINES:
            yield f"  ... {len(lines) - MOST_LINES} more lines"
    if workflows := [path for path in changed if path.startswith(WORKFLOWS)]:
        yield f"\nChanged workflows: {', '.join(workflows)}. Only a person may push these, no workflow's token."
    if conflicts:
        yield f"\n{len(conflicts)} files need you: you changed what the release changes, too."
        yield from (f"  {line}" for line in conflicts)
        yield f"Edit them, `git add` them, then commit. To take all of it back: {UNDO}"
        return
    yield "\nNext: git diff --staged, ./run tests, git commit, and a pull request."
    yield f"To take it back: {UNDO}"
