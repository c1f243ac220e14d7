"""The `docker` program: builds Roost's image and pushes it to a registry.

docker gets only the environment variables that it needs to find its daemon: the others hold tokens
and secret values. It reads the Fly token from standard input, and stores its login in a temporary
folder that is removed after the push.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import anyio
from anyio.abc import Process

from roost.errors import ImageError
from roost.fly.registry import USER
from roost.fly.transport import bare_token, token_pieces
from roost.secret_text import SecretText

LOOK_LIMIT_S = 60
BUILD_LIMIT_S = 1800
PUSH_LIMIT_S = 900
PUSHES = 3
PAUSE_S = 5.0
"""Pause between pushes: the registry may not know a new app yet."""
MAX_LINE = 2000
_PASSED_ON = {
    *("HOME", "PATH", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    *("DOCKER_API_VERSION", "BUILDX_BUILDER", "BUILDX_CONFIG"),
}
_BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def find_docker(environ: Mapping[str, str]) -> str:
    """Return the path of docker; empty if there is none."""
    path = environ.get("PATH") or ""
    return (shutil.which("docker", path=path) if path else None) or ""


@dataclass(frozen=True)
class Docker:
    """One `docker` program.

    Args:
        program: its path.
        environ: the process environment; only what docker needs is passed on.
        report: takes each line of its output, without the token.
    """

    program: str
    environ: Mapping[str, str]
    report: Callable[[str], None]

    async def build(self, folder: Path, version: str, reference: str) -> None:
        """Build the image of a Prefect version for Fly's machines.

        Raises:
            ImageError: the build failed.
        """
        arguments = [
            *("buildx", "build", "--load", "--progress", "plain", "--platform", "linux/amd64"),
            # A single manifest: attestations would turn it into an index, which no machine needs.
            *("--provenance=false", "--sbom=false"),
            *("--build-arg", f"PREFECT_VERSION={version}"),
            *await self._base(folder),
            *("--tag", reference, str(folder)),
        ]
        await self._run(arguments, limit_s=BUILD_LIMIT_S, doing="build the image")

    async def push(self, reference: str, host: str, token: SecretText) -> None:
        """Push a built image with a Fly token.

        Raises:
            ImageError: the login or the push failed.
        """
        hidden = token_pieces(token)
        with _login_folder(host) as folder:
            environ = {"DOCKER_CONFIG": folder, **await self._daemon()}
            login = ("login", "--username", USER, "--password-stdin", host)
            password = bare_token(token).reveal().encode()
            await self._run(
                login,
                limit_s=LOOK_LIMIT_S,
                doing="log in",
                environ=environ,
                password=password,
                hidden=hidden,
            )
            for left in reversed(range(PUSHES)):
                try:
                    await self._run(
                        ("push", reference),
                        limit_s=PUSH_LIMIT_S,
                        doing="push the image",
                        environ=environ,
                        hidden=hidden,
                    )
                except ImageError:
                    if not left:
                        raise
                    await anyio.sleep(PAUSE_S)
                else:
                    return

    async def _base(self, folder: Path) -> tuple[str, ...]:
        """Return the base image with the digest that its tag has now, for the log."""
        found = _BASE.search((folder / "Dockerfile").read_text(encoding="utf-8"))
        if found is None or "@" in found[1]:
            return ()
        digest = await self._ask(
            *("buildx", "imagetools", "inspect", found[1], "--format", "{{.Manifest.Digest}}")
        )
        if not _DIGEST.fullmatch(digest):
            self.report(f"no digest of {found[1]} is to be had; its tag is built from")
            return ()
        return ("--build-arg", f"BASE={found[1]}@{digest}")

    async def _daemon(self) -> dict[str, str]:
        """Return the daemon's address, which the temporary login folder has no setting for."""
        host = await self._ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        return {"DOCKER_HOST": host} if host else {}

    async def _ask(self, *arguments: str) -> str:
        """Return one printable line of its output; empty if it fails."""
        with anyio.move_on_after(LOOK_LIMIT_S):
            try:
                done = await anyio.run_process(
                    [self.program, *arguments],
                    env=self._environment({}),
                    stdin=DEVNULL,
                    check=False,
                )
            except OSError:
                return ""
            text = done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
            return text if text.isprintable() else ""
        return ""

    async def _run(  # noqa: PLR0913 - the parts of one process call
        self,
        arguments: Iterable[str],
        *,
        limit_s: float,
        doing: str,
        environ: Mapping[str, str] | None = None,
        password: bytes = b"",
        hidden: tuple[SecretText, ...] = (),
    ) -> None:
        """Run docker to its end and report each line.

        Raises:
            ImageError: it failed, or did not end in time.
        """
        command = [self.program, *arguments]
        try:
            with anyio.fail_after(limit_s):
                process = await anyio.open_process(
                    command,
                    env=self._environment(environ or {}),
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=STDOUT,
                )
                async with process:
                    await _give(process, password)
                    async for line in _lines(process):
                        self.report(_redacted(line, hidden))
                    code = await process.wait()
        except TimeoutError:
            raise _failed(doing, f"it took more than {limit_s:.0f} s") from None
        except OSError as error:
            raise _failed(doing, f"{self.program} does not run: {error.strerror}") from None
        if code != 0:
            raise _failed(doing, f"it ended with {code}")

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        passed = {name: value for name, value in self.environ.items() if name in _PASSED_ON}
        if "DOCKER_HOST" in more:  # DOCKER_CONTEXT would contradict it
            passed.pop("DOCKER_CONTEXT", None)
        return {**passed, **more}


@contextmanager
def _login_folder(host: str) -> Iterator[str]:
    """Yield a temporary folder for docker's login."""
    with tempfile.TemporaryDirectory(prefix="roost-docker-") as folder:
        # An entry, even an empty one, keeps docker from using the computer's key store.
        config = json.dumps({"auths": {host: {}}})
        Path(folder, "config.json").write_text(config, encoding="utf-8")
        yield folder


async def _give(process: Process, text: bytes) -> None:
    """Write the process's standard input and close it; the process may end without reading."""
    if process.stdin is None:
        return
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        if text:
            await process.stdin.send(text)
        await process.stdin.aclose()


async def _lines(process: Process) -> AsyncIterator[str]:
    if process.stdout is None:
        return
    kept = b""
    async for chunk in process.stdout:
        *whole, kept = (kept + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in _texts(whole):
            yield line
        kept = kept[-MAX_LINE:]
    for line in _texts([kept]):
        yield line


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        text = line[:MAX_LINE].decode(errors="replace").rstrip()
        if text:
            yield text


def _redacted(line: str, hidden: tuple[SecretText, ...]) -> str:
    for secret in hidden:
        line = secret.redact(line)
    return line


def _failed(doing: str, why: str) -> ImageError:
    return ImageError(
        f"docker could not {doing}: {why}.",
        advice="See its output above. Fix the cause and run the same command again.",
    )
