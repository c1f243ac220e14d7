"""Images and containers in a separate storage, with buildah and without a daemon."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from image.errors import CommandError
from image.shell import Shell

# These need no user namespace, kernel driver or OCI runtime, so they work inside a container.
DRIVER, ISOLATION = "vfs", "chroot"


@dataclass(frozen=True)
class Recipe:
    """The options of a build, as of `docker build`."""

    context: Path
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path] = field(default_factory=dict)
    mounts: Sequence[Path] = ()
    """Folders of this machine that steps may read where they lie, and that leave no trace."""


@dataclass(frozen=True)
class Buildah:
    """A storage below a folder, used only by this session."""

    folder: Path
    shell: Shell

    @property
    def scratch(self) -> Path:
        """The folder for temporary files of this run."""
        return self.folder / "scratch"

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line of buildah with this storage."""
        storage = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        return ["buildah", "--storage-driver", DRIVER, *storage, *arguments]

    def has(self, image: str) -> bool:
        """Return whether an image is in the storage."""
        return image in (name for listed in self._images() for name in listed.get("names") or ())

    def size(self, image: str) -> str:
        """Return an image's unpacked size in buildah's words."""
        sizes = {name: row["size"] for row in self._images() for name in row.get("names") or ()}
        return str(sizes[image])

    def pull(self, image: str) -> None:
        """Pull an image from its registry.

        Raises:
            CommandError: the registry cannot be reached, or has no such image.
        """
        self._run("pull", "--quiet", image)

    def import_tree(self, tree: Path, image: str) -> None:
        """Create an image from a folder with a root file system."""
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
        """Create a container of an image for the block."""
        container = self._run("from", "--pull=never", image)
        try:
            yield container
        finally:
            self._run("rm", container)

    @contextlib.contextmanager
    def tree(self, container: str) -> Iterator[Path]:
        """Return the folder with a container's root file system, for reading."""
        try:
            yield Path(self._run("mount", container))
        finally:
            self._run("umount", container)

    def start_command(self, image: str) -> tuple[str, ...]:
        """Return an image's entry point and command."""
        config = json.loads(self._run("inspect", "--type", "image", image))["OCIv1"]["config"]
        return (*config.get("Entrypoint", ()), *config.get("Cmd", ()))

    def remove_containers(self) -> None:
        """Remove every container, including those of a killed run."""
        self._run("rm", "--all")

    def clean(self, keep: Sequence[str]) -> None:
        """Remove every image except the named ones."""
        for row in self._images():
            if not set(row.get("names") or ()) & set(keep):
                # The base of another image cannot be removed before that image.
                with contextlib.suppress(CommandError):
                    self._run("rmi", row["id"])

    def _images(self) -> list[dict[str, str]]:
        return list(json.loads(self._run("images", "--json") or "null") or [])

    def _run(self, *arguments: str) -> str:
        return self.shell.run(*self.argv(*arguments))
