"""Check the files of the checkout: environments, locks, workflows and CODEOWNERS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from roost.doctor.check import Check, missing, ok
from roost.doctor.workflows import FOLDER, Holder, Workflows, lacking
from roost.environment.fields import Secret
from roost.environment.load import EnvironmentFile, environment_names
from roost.environment.model import PostgresDatabase
from roost.environment.starter import is_example, secret_names
from roost.errors import Fault, MissingLockError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.plan.image import read_image_parts
from roost.report.codeowners import PLACES, read_codeowners
from roost.report.owned_paths import freed, known_owner, must_be_owned, unowned
from roost.report.setup import CODEOWNERS
from roost.report.wording import counted

SOPS_KEY = "SOPS_AGE_KEY"
FOLDERS = (".github", ".ci", "scripts", "deploy", "requirements")
"""The folders of files that run in jobs, beside those at the top."""
PROSE = (".md", "LICENSE")
MOST_NAMED = 5


def file_checks(
    context: Context, files: Iterable[EnvironmentFile], faults: Iterable[Fault]
) -> Iterator[Check]:
    """Check environment files and locks."""
    by_path: dict[str, int] = {}
    for fault in faults:
        by_path[fault.path] = by_path.get(fault.path, 0) + 1
    for path, count in by_path.items():
        name = Path(path).stem
        mend = Command("validate", path).typed
        yield missing(f"its file has {counted(count, 'fault')}", mend, name)
    for file in files:
        yield from _file(context, file)


def _file(context: Context, file: EnvironmentFile) -> Iterator[Check]:
    name, environment = file.name, file.environment
    if is_example(file):
        mend = f"git rm {file.path}, or choose another `app` in it"
        yield missing(f"{environment.app} is the app of the template's example", mend, name)
        return
    if not environment.prefect.image:
        try:
            read_image_parts(context.deploy, environment.prefect.version)
        except MissingLockError as error:
            yield missing(error.what, f"./run lock {environment.prefect.version}", name)
            return
    yield ok("its file is valid, and its Prefect has a lock", name)


def workflow_checks(
    workflows: Workflows, files: Iterable[EnvironmentFile], repository: Path
) -> Iterator[Check]:
    """Check workflow files, and who has to review changes of them."""
    if workflows.absent:
        listed = ", ".join(workflows.absent)
        mend = f"copy {FOLDER}/ from the template again, in a pull request"
        yield missing(f"there is no {listed} in {FOLDER}", mend)
    for name in workflows.unreadable:
        yield missing(f"{FOLDER}/{name} is no workflow", "correct it, in a pull request")
    chosen = list(files)
    absent = list(_not_passed_on(workflows, chosen))
    yield from absent
    if workflows.holders and not absent:
        yield ok("the workflows pass on every secret that comes from GitHub")
    yield _owners(chosen, repository)


def wanted_variables(file: EnvironmentFile) -> tuple[str, ...]:
    """Return the variables that an environment's values come from, the SOPS key included."""
    return _variables(secret for _, secret in file.environment.server_secrets)


def address_variables(file: EnvironmentFile) -> tuple[str, ...]:
    """Return the variables that its addresses for messages come from, the SOPS key included."""
    return _variables(secret for _, secret in file.environment.addresses)


def backup_variables(file: EnvironmentFile) -> tuple[str, ...]:
    """Return the variables that a dump into its bucket needs, the SOPS key included; none without one."""
    environment = file.environment
    database = environment.database
    if not environment.backups or not isinstance(database, PostgresDatabase):
        return ()
    address = [secret for secret in environment.secrets if secret.name == database.url_secret]
    return _variables([*address, *(secret for _, secret in environment.bucket_keys)])


def _variables(secrets: Iterable[Secret]) -> tuple[str, ...]:
    found = list(secrets)
    uses_sops = any(secret.source.sops for secret in found)
    return (*secret_names(found), *([SOPS_KEY] if uses_sops else []))


def _not_passed_on(workflows: Workflows, files: list[EnvironmentFile]) -> Iterator[Check]:
    yield from _lacking(workflows.holders, files, wanted_variables, "have FLY_API_TOKEN")
    yield from _lacking(workflows.tellers, files, address_variables, "send messages")
    yield from _lacking(workflows.keepers, files, backup_variables, "back up")


def _lacking(
    holders: Sequence[Holder],
    files: list[EnvironmentFile],
    variables: Callable[[EnvironmentFile], Iterable[str]],
    which: str,
) -> Iterator[Check]:
    wanted: dict[str, list[str]] = {}
    for file in files:
        for variable in variables(file):
            wanted.setdefault(variable, []).append(file.name)
    for variable, names in wanted.items():
        if places := lacking(holders, variable):
            line = f"{variable}: ${{{{ secrets.{variable} }}}}"
            yield missing(
                f"{variable} ({', '.join(names)}) is not passed on by {', '.join(places)}",
                f"add to the `env` of the steps there that {which}: {line}",
            )


def _owners(files: Iterable[EnvironmentFile], repository: Path) -> Check:
    """Check that CODEOWNERS, as GitHub reads it, has an owner for all that can change servers."""
    place = codeowners_place(repository)
    path = repository / place
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found, chosen = read_codeowners(text), list(files)
    lacking = unowned(found, (*must_be_owned(chosen), *_files_of_the_tool(repository)))
    there = {file.name for file in chosen} | environment_names(repository / "environments")
    stale = [rule for name, rule in freed(found).items() if name not in there]
    taken = sorted({rule.line: rule for rule in (*lacking.values(), *stale) if rule}.items())
    if not lacking and not stale:
        return ok(f"{place} has an owner for all that can change servers")
    if not taken:
        owner = known_owner(text) or "@acme/platform"
        return missing(
            f"nobody owns {shortened(lacking)}",
            f"add to {place}, before all other lines: * {owner}",
        )
    names = (f"line {line} ({rule.pattern})" for line, rule in taken)
    what = f", so nobody owns {shortened(lacking)}" if lacking else ": there is no such environment"
    return missing(
        f"{place} names no owner in {' and '.join(names)}{what}",
        "name a person or a team there, such as @acme/platform, or remove the line",
    )


def codeowners_place(repository: Path) -> str:
    """Return the path of CODEOWNERS, existing or to be created."""
    return next((place for place in PLACES if (repository / place).is_file()), CODEOWNERS)


def _files_of_the_tool(repository: Path) -> list[str]:
    """Return the existing files that run in jobs, or from which such a file is built."""
    found = [path for folder in FOLDERS for path in (repository / folder).rglob("*")]
    files = [path for path in (*found, *repository.glob("*")) if path.is_file()]
    named = sorted(path.relative_to(repository).as_posix() for path in files)
    return [name for name in named if "__pycache__" not in name and not name.endswith(PROSE)]


def shortened(paths: Iterable[str]) -> str:
    """List the first MOST_NAMED paths, and count the others."""
    listed = list(paths)
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
