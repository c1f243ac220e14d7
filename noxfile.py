"""Sessions: what a developer, CI and a newcomer run, with locked dependencies.

`./run SESSION` runs one of them; `./run --list` shows them all.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tomllib
from pathlib import Path

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement  # nox needs it, too

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
# What `./run` sets up; the environments of sessions stand in it, too.
STATE = Path(os.environ.get("RUN_STATE") or ROOT / ".run")
nox.options.envdir = str(STATE / "sessions")
# requirements/NAME.txt is compiled from these parts of pyproject.toml.
LOCKS = {
    "uv": ["--group", "uv"],
    "nox": ["--group", "nox"],
    "sops": ["--group", "sops"],
    "roost": ["pyproject.toml", "--group", "localfly"],
    "tests": ["pyproject.toml", "--group", "test"],
    "lint": ["--group", "lint"],
    "types": ["pyproject.toml", "--group", "types"],
}
# The published schemas of what GitHub reads.
GITHUB = ROOT / ".github"
GITHUB_SCHEMAS = {
    "github-workflows": "workflows/*.yml",
    "github-actions": "actions/*/action.yml",
    "dependabot": "dependabot.yml",
}
# Two more than the cores of a small runner: much of a test is waiting for processes. With one more, a sixth of the
# cores' time was idle.
PARALLEL = ("-n", "4", "--dist", "loadgroup")
DURATIONS = ("--durations", "10")
# No uv.toml and no [tool.uv] has a say, and no package runs code of its own to be built.
UV = ("uv", "--no-config")
# The oldest that deploy/roost_server runs: before it a login closed the health check, too.
OLDEST_PREFECT = (3, 1, 13)
RESOLVE = [
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--no-build"),
    *("--no-header", "--no-annotate", "--no-emit-index-url"),
]
COMPILE = [*RESOLVE, "--generate-hashes"]
# Fly's machines, with the C library of the image's Debian or an older one.
PLATFORM = ("--python-platform", "x86_64-manylinux_2_40")


def install(session: nox.Session, name: str) -> None:
    """Make the session's environment exactly what requirements/NAME.txt locks."""
    lock = f"requirements/{name}.txt"
    session.run_install(
        *(*UV, "pip", "sync", "--quiet", "--no-build"),
        *("--require-hashes", "--compile-bytecode", lock),
        silent=False,
    )


def environment() -> dict[str, str | None]:
    """Return the environment in which `roost` and `localfly` are importable and find their caches.

    Bytecode is kept, and not in the checkout: without it each of a thousand processes compiles all
    that it imports, and each worker of pytest spends ten seconds on the assertions of the tests.
    Pydantic has no plugins here; each process would look through all packages for them.
    """
    return {
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        "PYTHONDONTWRITEBYTECODE": None,
        "PYTHONPYCACHEPREFIX": str(STATE / "bytecode"),
        "PYTHONPATH": str(ROOT / "scripts"),
        "LOCALFLY_HOME": os.environ.get("LOCALFLY_HOME", str(STATE / "localfly")),
        "LOCALFLY_CACHE": os.environ.get("LOCALFLY_CACHE", str(STATE / "images")),
    }


def need_tests(session: nox.Session) -> None:
    """Skip a session that runs Roost's own tests, where `./run update --slim` left them out."""
    if not (ROOT / "tests").is_dir():
        session.skip("This repository has no tests/ of Roost's: they ran before its release.")


def run_package(session: nox.Session, name: str) -> None:
    """Run a package of `tests/` with the session's arguments; it imports what tests import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    folders = project["tool"]["pytest"]["ini_options"]["pythonpath"]
    paths = os.pathsep.join(str(ROOT / folder) for folder in folders)
    session.run(
        *("python", "-m", name, *session.posargs),
        env=environment() | {"PYTHONPATH": paths},
        interrupt_timeout=60,  # what it has started is ended first, such as a container or a server
        terminate_timeout=30,
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests but the slow ones in parallel, or those named: ./run tests [PYTEST-ARGS]."""
    need_tests(session)
    install(session, "tests")
    chosen = session.posargs or ["-m", "not slow and not workflows"]
    session.run("pytest", *PARALLEL, *DURATIONS, *chosen, env=environment())


@nox.session
def slow(session: nox.Session) -> None:
    """Run the slow tests: ./run slow [PYTEST-ARGS]."""
    need_tests(session)
    install(session, "tests")
    chosen = ["-m", "slow", *session.posargs]
    session.run("pytest", "-n", "2", "--dist", "loadgroup", *DURATIONS, *chosen, env=environment())


@nox.session
def workflows(session: nox.Session) -> None:
    """Run the workflows of .github for real, on this computer: ./run workflows [PYTEST-ARGS]."""
    need_tests(session)
    install(session, "tests")
    chosen = ["-m", "workflows", "--timeout", "1800", *(session.posargs or ["tests/workflows"])]
    session.run("pytest", "-n", "3", "--dist", "loadgroup", *DURATIONS, *chosen, env=environment())


@nox.session
def fuzz(session: nox.Session) -> None:
    """Try twenty to forty times as many generated inputs as the tests do, others each time: ./run fuzz [PYTEST-ARGS]."""
    need_tests(session)
    install(session, "tests")
    session.run(
        *("pytest", "-m", "hypothesis", "-n", "2", "--dist", "loadgroup", "--timeout", "3600"),
        *session.posargs,
        env=environment() | {"HYPOTHESIS_PROFILE": "thorough"},
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, shell, Dockerfile and workflows."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("shellcheck", "run", ".ci/run", ".ci/packages")
    session.run("hadolint", *sorted(map(str, Path("deploy").rglob("Dockerfile"))))
    session.run("actionlint")  # with shellcheck, which it finds beside itself
    session.run(
        "zizmor", "--offline", "--persona", "pedantic", "--no-progress", "--quiet", ".github"
    )
    for schema, files in GITHUB_SCHEMAS.items():
        found = map(str, sorted(GITHUB.glob(files)))
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *found)


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "types")
    # Without Roost's own tests, see need_tests, the folders that pyproject.toml names are not all there.
    session.run("mypy", *([] if (ROOT / "tests").is_dir() else ["scripts", "deploy", "noxfile.py"]))


@nox.session
def schema(session: nox.Session) -> None:
    """Write environments/environment.schema.json anew from the model."""
    install(session, "roost")
    session.run("python", "-m", "roost", "schema", "--write", env=environment())


@nox.session
def docs(session: nox.Session) -> None:
    """Write docs/reference from the code: the environment file, the commands, the errors."""
    install(session, "roost")
    session.run("python", "-m", "roost.cli.references", env=environment())


@nox.session
def image(session: nox.Session) -> None:
    """Build the server's image and boot it, without a Docker daemon: ./run image [VERSION] [--server ENV]."""
    need_tests(session)
    install(session, "roost")
    run_package(session, "image")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure Roost beside stock Prefect: ./run bench [SUBJECT...] [--rounds 5] [--smallest] [--write]."""
    need_tests(session)
    install(session, "tests")  # the bucket of the subject `replica` is one of the tests' parts
    run_package(session, "bench")


@nox.session
def story(session: nox.Session) -> None:
    """Run two projects' flows in real time, asleep in between, and report the cost: ./run story [--minutes 60] [--write]."""
    need_tests(session)
    install(session, "tests")
    run_package(session, "story")


@nox.session
def clients(session: nox.Session) -> None:
    """Have real Prefect clients of several releases run a flow against each locked server: ./run clients [--smallest]."""
    need_tests(session)
    install(session, "tests")
    run_package(session, "clients")


@nox.session
def flyctl(session: nox.Session) -> None:
    """Try the commands of $FLYCTL, Fly's own client, on a local Fly: ./run flyctl [--write]."""
    need_tests(session)
    install(session, "tests")
    run_package(session, "flyctl")


@nox.session
def chaos(session: nox.Session) -> None:
    """Kill, lose, storm and meet: ./run chaos [PART...] [--every N] [--write]."""
    need_tests(session)
    install(session, "tests")
    run_package(session, "chaos")


@nox.session
def lock(session: nox.Session) -> None:
    """Lock anew: ./run lock [--upgrade] (all of requirements/), ./run lock VERSION (a Prefect version), or ./run lock --flows NAME or --server ENV [--upgrade]."""
    words = [word for word in session.posargs if word != "--upgrade"]
    one_by_one = {"--flows": lock_flows, "--server": lock_server}
    if words and words[0] in one_by_one:
        for name in words[1:] or [""]:
            one_by_one[words[0]](session, name, upgrade="--upgrade" in session.posargs)
        return
    for version in words:
        lock_prefect(session, version)
    if words:
        return
    constraints = Path(session.create_tmp()) / "constraints.txt"
    resolve_all(session, constraints, upgrade="--upgrade" in session.posargs)
    for name, sources in LOCKS.items():
        output = ("--upgrade", "-o", f"requirements/{name}.txt")
        session.run(*UV, *COMPILE, *sources, "--constraints", str(constraints), *output)


@nox.session
def upgrade(session: nox.Session) -> None:
    """Take environments to a release of Prefect: ./run upgrade VERSION [ENV...] [--copy DIR] [--try ENV].

    Locks the release and extra packages, changes the files and, with --try, starts one on a local Fly.
    """
    asked = argparse.ArgumentParser("./run upgrade")
    asked.add_argument("version")
    asked.add_argument("environments", nargs="*", metavar="ENV")
    asked.add_argument("--copy", type=Path, metavar="DIR", help="copy the written locks there")
    asked.add_argument("--try", dest="trial", default="", metavar="ENV", help="start this one")
    options = asked.parse_intermixed_args(session.posargs)
    # A workflow hands on all names as one argument.
    names = " ".join(options.environments).split()
    files = [f"deploy/{part}/prefect-{options.version}.txt" for part in ("locks", "settings")]
    if not all(Path(file).exists() for file in files):
        lock_prefect(session, options.version)
    edit = ("github", "prefect-edit", "--version", options.version, "--", *names)
    session.run("./run", "roost", *edit, external=True)
    for name in names:
        lock = Path("environments/locks") / f"{name}.txt"
        if lock.exists():
            lock_server(session, name, upgrade=False)
            files.append(str(lock))
    if options.trial:
        session.run("./run", "roost", "rehearse", "--", options.trial, external=True)
    for file in files if options.copy else ():
        (options.copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, options.copy / file)


def resolve_all(session: nox.Session, constraints: Path, *, upgrade: bool) -> None:
    """Write one version of each package that any lock needs: one resolution for all locks.

    It keeps the versions that the locks have, except for an upgrade.
    """
    files = sorted(Path("requirements").glob("*.txt"))
    pins = {line for file in files for line in file.read_text("utf-8").splitlines() if "==" in line}
    kept = [] if upgrade else sorted(pin.removesuffix(" \\") for pin in pins)
    # uv takes what the output file has for what it prefers.
    constraints.write_text("".join(f"{pin}\n" for pin in kept), encoding="utf-8")
    groups = dict.fromkeys(word for sources in LOCKS.values() for word in sources)
    names = [word for word in groups if word not in {"--group", "pyproject.toml"}]
    wanted = ("pyproject.toml", *(word for name in names for word in ("--group", name)))
    session.run(*UV, *RESOLVE, *wanted, "-o", str(constraints))


def lock_prefect(session: nox.Session, version: str) -> None:
    """Compile what the image of one Prefect version is made of."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        session.error(f"{version} is no full version of Prefect, such as 3.9.1")
    if tuple(map(int, version.split("."))) < OLDEST_PREFECT:
        oldest = ".".join(map(str, OLDEST_PREFECT))
        session.error(
            f"The server of the image runs Prefect {oldest} and later, not {version}: "
            "it uses parts of Prefect that are not in older ones"
        )
    wanted = Path(session.create_tmp()) / "prefect.in"
    # Litestream is a program without Python in it; its version stands in the constraints.
    wanted.write_text(f"prefect=={version}\nlitestream-bin\n", encoding="utf-8")
    constraints = ("--constraints", str(constraints_of(version)))
    session.run(
        *UV, *COMPILE, str(wanted), *constraints, "-o", f"deploy/locks/prefect-{version}.txt"
    )
    list_settings(session, version)


def lock_flows(session: nox.Session, name: str, *, upgrade: bool) -> None:
    """Compile what the image of a flow server is made of: requirements.in to requirements.txt.

    `name` is a folder of flows/, or the path of a folder in this repository.
    """
    folder = (ROOT / (name if "/" in name else f"flows/{name}")).resolve()
    if not name or not folder.is_dir() or ROOT.resolve() not in folder.parents:
        session.error(
            f"There is no folder flows/{name} in this repository: put the code of the flows there"
        )
    wanted = folder / "requirements.in"
    if not wanted.is_file():
        wanted.write_text(f"prefect=={locked_versions()[-1]}\n", encoding="utf-8")
        session.log(f"wrote {wanted.relative_to(ROOT.resolve())}: add what your flows import")
    try:
        version = version_for_flows(wanted.read_text("utf-8"), locked_versions())
    except ValueError as error:
        session.error(f"{wanted}: {error}")
    # One version in all cases, so that the constraints of its minor version apply.
    pins = Path(session.create_tmp()) / "flows-constraints.txt"
    pins.write_text(f"prefect=={version}\nprefect-client=={version}\n", encoding="utf-8")
    constraints = (str(constraints_of(version)), str(pins))
    output, proven = folder / "requirements.txt", Path(f"deploy/locks/prefect-{version}.txt")
    lock = pins.with_name("flows-lock.txt")
    # uv prefers what the output file has: at first the versions that the server is tested with.
    known = output if output.is_file() else proven
    lock.write_bytes(known.read_bytes() if known.is_file() else b"")
    newest = ["--upgrade"] if upgrade else []
    named = (word for path in constraints for word in ("--constraints", path))
    try:
        session.run(*UV, *COMPILE, str(wanted), *newest, *named, "-o", str(lock))
        check_wheels(session, lock)
    except CommandFailed:
        session.error(
            f"The packages of {wanted.relative_to(ROOT.resolve())} cannot be installed in the image: uv "
            "names the cause above. Change them, and lock again. Nothing was written"
        )
    output.write_bytes(lock.read_bytes())


def lock_server(session: nox.Session, name: str, *, upgrade: bool) -> None:
    """Compile what the image of one environment is made of, with its prefect.extras.

    The proven versions stay, but for those that an extra does not run with.
    """
    if not name:
        session.error("Name the environment: ./run lock --server ENV")
    install(session, "roost")
    scratch = Path(session.create_tmp()).absolute()
    wanted, lock = scratch / "extras.in", scratch / "extras.txt"
    tool = ("python", "-m", "roost.cli.server_lock")
    newest = ["--upgrade"] if upgrade else []
    session.run(*tool, "begin", name, str(scratch), *newest, env=environment())
    version = wanted.read_text("utf-8").partition("\n")[0].partition("==")[2]
    constraints = ("--constraints", str(constraints_of(version)))
    try:
        session.run(*UV, *COMPILE, str(wanted), *constraints, "-o", str(lock))
        check_wheels(session, lock)
    except CommandFailed:
        session.error(
            f"The extras of {name} cannot be installed together with Prefect {version}: uv names the "
            "cause above. Change prefect.extras in its file, and lock it again. Nothing was written"
        )
    session.run(*tool, "finish", name, str(scratch), env=environment())


def check_wheels(session: nox.Session, lock: Path) -> None:
    """Check that each package of a lock, which is for any platform, has a wheel for the image's.

    Raises:
        CommandFailed: one has none; uv names it.
    """
    proof = (*PLATFORM, "--python-version", image_python(), "-o", str(lock.with_name("image.txt")))
    session.run(*UV, "pip", "compile", "--quiet", "--no-build", "--no-deps", str(lock), *proof)


def image_python() -> str:
    """Return the version of Python in the image, such as 3.13."""
    text = Path("deploy/Dockerfile").read_text("utf-8")
    found = re.search(r"^ARG BASE=.*python:(\d+\.\d+)-", text, re.MULTILINE)
    if found is None:
        raise ValueError("deploy/Dockerfile names no version of Python in BASE")
    return found[1]


def locked_versions() -> list[str]:
    """Return the Prefect versions that servers are locked with, the oldest first."""
    names = (
        path.stem.removeprefix("prefect-") for path in Path("deploy/locks").glob("prefect-*.txt")
    )
    return sorted(names, key=lambda version: tuple(map(int, version.split("."))))


def version_for_flows(text: str, locked: list[str]) -> str:
    """Return the Prefect version that requirements ask for: the named one, else the newest that a server runs.

    Raises:
        ValueError: they name no Prefect, or none that a server runs; clients must not be newer than the server.
    """
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    names = re.compile(r"(?i)prefect(-client)?\s*(?![\w.-])")
    found = [Requirement(line) for line in lines if names.match(line)]
    if not found:
        raise ValueError(
            "it names neither prefect nor prefect-client: add a line such as prefect==" + locked[-1]
        )
    wanted = found[0].specifier
    exact = [each.version for each in wanted if each.operator == "==" and "*" not in each.version]
    fitting = exact or [version for version in locked if version in wanted]
    if not fitting:
        raise ValueError(
            f"no server is locked with {found[0]}: ask for one of {', '.join(locked)}, or ./run lock VERSION first"
        )
    return fitting[-1]


def constraints_of(version: str) -> Path:
    """Return the constraints of a version: the newest file that is not of a later minor version.

    A version older than every file takes the oldest file.
    """
    minor = tuple(map(int, version.split(".")))[:2]
    files = {
        tuple(map(int, path.stem.removeprefix("constraints-").split("."))): path
        for path in Path("deploy/locks").glob("constraints-*.in")
    }
    return files[max((known for known in files if known <= minor), default=min(files))]


def list_settings(session: nox.Session, version: str) -> None:
    """Write which settings a locked version of Prefect takes, as that version says itself."""
    folder = Path(session.create_tmp()).absolute() / f"prefect-{version}"
    python = str(folder / "bin" / "python")
    lock = f"deploy/locks/prefect-{version}.txt"
    session.run(*UV, "venv", "--quiet", "--no-project", "--clear", str(folder))
    sync = (*UV, "pip", "sync", "--quiet", "--no-build", "--require-hashes")
    session.run(*sync, "--python", python, lock)
    # Prefect reads profiles of its home folder when it is imported.
    session.run(
        *(python, "deploy/list_settings.py", f"deploy/settings/prefect-{version}.txt"),
        env={"PREFECT_HOME": str(folder / "home")},
        external=True,
    )
