"""Images and containers in a storage of our own, by buildah, without a daemon."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from image.errors import CommandError
from image.shell import Shell

# Needs no user namespace, no kernel driver and no OCI runtime: works inside a container too.
DRIVER, ISOLATION = "vfs", "chroot"


@dataclass(frozen=True)
class Recipe:
    """What `docker build` would be told."""

    context: Path
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path] = field(default_factory=dict)
    mounts: Sequence[Path] = ()
    """Folders of this machine that steps may read where they lie, and that leave no trace."""


@dataclass(frozen=True)
class Buildah:
    """A storage below a folder; nothing in it is anybody else's."""

    folder: Path
    shell: Shell

    @property
    def scratch(self) -> Path:
        """Where files go that are of no use after this run."""
        return self.folder / "scratch"

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line of a buildah command on this storage."""
        storage = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        return ["buildah", "--storage-driver", DRIVER, *storage, *arguments]

    def has(self, image: str) -> bool:
        """Return whether an image is in the storage."""
        return image in (name for listed in self._images() for name in listed.get("names") or ())

    def size(self, image: str) -> str:
        """Return an image's size, unpacked, as buildah words it."""
        sizes = {name: row["size"] for row in self._images() for name in row.get("names") or ()}
        return str(sizes[image])

    def pull(self, image: str) -> None:
        """Bring an image from its registry.

        Raises:
            CommandError: the registry cannot be reached, or has no such image.
        """
        self._run("pull", "--quiet", image)

    def import_tree(self, tree: Path, image: str) -> None:
        """Make an image of a folder that is a whole root file system."""
        with self.container("scratch") as container:
            self._run("copy", "--quiet", container, str(tree), "/")
            self._run("commit", "--quiet", container, image)

    def build(self, recipe: Recipe, image: str) -> None:
        """Run every step of the context's Dockerfile.

        Raises:
            CommandError: a step failed.
        """
        file = recipe.context / "Dockerfile"
        self._run(
            *("build", "--pull=never", "--isolation", ISOLATION, "--file", str(file)),
            *(f"--build-arg={name}={value}" for name, value in recipe.arguments.items()),
            *(f"--secret=id={name},src={path}" for name, path in recipe.secrets.items()),
            *(f"--volume={folder}:{folder}:ro" for folder in recipe.mounts),
            *("--tag", image, str(recipe.context)),
        )

    @contextlib.contextmanager
    def container(self, image: str) -> Iterator[str]:
        """Make a container of an image, for as long as it is used."""
        container = self._run("from", "--pull=never", image)
        try:
            yield container
        finally:
            self._run("rm", container)

    @contextlib.contextmanager
    def tree(self, container: str) -> Iterator[Path]:
        """Return the folder that is a container's root file system, to be read."""
        try:
            yield Path(self._run("mount", container))
        finally:
            self._run("umount", container)

    def start_command(self, image: str) -> tuple[str, ...]:
        """Return what a container of an image starts: its entry point and its command."""
        config = json.loads(self._run("inspect", "--type", "image", image))["OCIv1"]["config"]
        return (*config.get("Entrypoint", ()), *config.get("Cmd", ()))

    def remove_containers(self) -> None:
        """Remove every container, such as a killed run leaves."""
        self._run("rm", "--all")

    def clean(self, keep: Sequence[str]) -> None:
        """Remove every image but those named."""
        for row in self._images():
            if not set(row.get("names") or ()) & set(keep):
                # What another image is made of stays until that one goes.
                with contextlib.suppress(CommandError):
                    self._run("rmi", row["id"])

    def _images(self) -> list[dict[str, str]]:
        return list(json.loads(self._run("images", "--json") or "null") or [])

    def _run(self, *arguments: str) -> str:
        return self.shell.run(*self.argv(*arguments))
