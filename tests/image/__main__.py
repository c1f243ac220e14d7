"""The command line of `./run image`: build the image, check its files, boot it, and report."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from image import contents, host
from image.base import Base, bring_base
from image.buildah import Buildah, Recipe
from image.dockerfile import default_base
from image.errors import ImageError
from image.machine import machine_of
from image.report import report
from image.shell import Shell, require
from image.trial import Findings, Trial
from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import RoostError
from roost.operations.image_parts import own_lock, write_parts
from roost.plan.image import Part, image_tag, read_image_parts

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
ENVIRONMENT = "staging"


@dataclass(frozen=True)
class Built:
    """A built image."""

    name: str
    base: Base
    parts: tuple[Part, ...]
    seconds: float


def main(
    version: Annotated[
        str, typer.Argument(metavar="[VERSION]", help="Of Prefect; as staging has it if left out.")
    ] = "",
    rounds: Annotated[int, typer.Option(min=1, help="How often it is booted, twice each.")] = 3,
    server: Annotated[
        str,
        typer.Option(metavar="ENV", help="Build the image of this environment, with its extras."),
    ] = "",
) -> None:
    """Build deploy/Dockerfile, boot the image and run the smoke test, without a Docker daemon."""
    require(["buildah", "setpriv", "unshare"])
    if os.geteuid():
        raise ImageError("Building without a daemon needs root. Run: sudo ./run image")
    file = load_environment(ENVIRONMENT, PROJECT / "tests" / "examples")
    version, lock = version or file.environment.prefect.version, None
    if server:
        own = load_environment(server, PROJECT / "environments")
        version, lock = own.environment.prefect.version, own_lock(own)
    state = Path(os.environ.get("RUN_STATE") or PROJECT / ".run")
    with workshop(state / "buildah") as buildah:
        built = build(buildah, version, lock)
        findings = prove(buildah, built, file, version, rounds)
        sizes = (buildah.size(built.name), buildah.size(built.base.image))
        buildah.clean(keep=[built.name, built.base.image])
    typer.echo(report(built.name, built.base, sizes, built.seconds, findings))
    if findings.faults:
        raise ImageError("The image is not good:\n- " + "\n- ".join(findings.faults))


@contextlib.contextmanager
def workshop(folder: Path) -> Iterator[Buildah]:
    """Open the storage exclusively, and remove what a killed run left.

    Raises:
        ImageError: another run uses the storage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImageError("Another `./run image` is at work in this checkout.") from None
        log.unlink(missing_ok=True)
        buildah = Buildah(folder, Shell(log))
        tidy(buildah)
        buildah.scratch.mkdir()
        try:
            yield buildah
        finally:
            tidy(buildah)


def tidy(buildah: Buildah) -> None:
    """Remove what this run or a killed one left."""
    shutil.rmtree(buildah.scratch, ignore_errors=True)
    buildah.remove_containers()


def build(buildah: Buildah, version: str, lock: bytes | None) -> Built:
    """Run every step of the Dockerfile; the image gets the name that roost computes."""
    parts = read_image_parts(DEPLOY, version, lock)
    base = bring_base(buildah, default_base((DEPLOY / "Dockerfile").read_text("utf-8")), tell)
    name = f"localhost/roost:{image_tag(version, parts)}"
    tell(f"build: {name}")
    began = time.monotonic()
    with (
        TemporaryDirectory(dir=buildah.scratch) as folder,
        TemporaryDirectory(dir=buildah.scratch) as copy,
    ):
        context = DEPLOY
        if lock is not None:
            context = Path(copy)
            write_parts(parts, context)
        arguments = {"BASE": base.image, "PREFECT_VERSION": version}
        buildah.build(Recipe(context, arguments, pip_secret(Path(folder)), host_mounts()), name)
    return Built(name, base, parts, time.monotonic() - began)


def pip_secret(folder: Path) -> dict[str, Path]:
    """Write this machine's package index to a file for the build; none without one."""
    texts = [p.read_text("utf-8") for p in host.pip_files(os.environ) if p.is_file()]
    configuration = host.pip_configuration(texts, os.environ)
    if not configuration:
        return {}
    path = folder / "pip.conf"
    path.write_text(configuration, "utf-8")
    return {"pip.conf": path}


def host_mounts() -> list[Path]:
    """Return the folders of this machine that a build may read."""
    return [folder for folder in (host.CERTIFICATES,) if folder.is_dir()]


def prove(
    buildah: Buildah, built: Built, file: EnvironmentFile, version: str, rounds: int
) -> Findings:
    """Check the image's files and boot it."""
    login = f"admin:{secrets.token_urlsafe(12)}"
    with (
        buildah.container(built.name) as container,
        TemporaryDirectory(dir=buildah.scratch) as scratch,
    ):
        with buildah.tree(container) as tree:
            wrong = list(contents.faults(tree, shipped(built.parts)))
            user = contents.user_id(tree)
        trial = Trial(
            buildah=buildah,
            container=container,
            command=buildah.start_command(built.name),
            machine=machine_of(file, built.name, login),
            version=version,
            user_id=user,
            scratch=Path(scratch),
            tell=tell,
        )
        findings = trial.run(rounds)
    for fault in wrong:
        findings.blame(fault)
    return findings


def shipped(parts: tuple[Part, ...]) -> list[Part]:
    """Return the parts without those that only describe the build."""
    return [part for part in parts if not part[0].endswith((".json", ".txt", "Dockerfile"))]


def tell(line: str) -> None:
    """Print progress to standard error."""
    typer.echo(line, err=True)


if __name__ == "__main__":
    # SIGTERM ends like Ctrl-C: containers are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        typer.run(main)
    except (ImageError, RoostError) as error:
        tell(f"image: {error}")
        sys.exit(1)
