"""Images: check that the registry has an environment's image, and build and push it if not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from roost.environment.load import EnvironmentFile
from roost.errors import ImageError, UnappliableError
from roost.operations.build_progress import build_progress
from roost.operations.context import Context
from roost.operations.docker import Docker, find_docker
from roost.operations.fly_target import Target, fly_token
from roost.operations.image_parts import build_folder
from roost.plan.image import REGISTRY
from roost.plan.steps import CreateApp, CreateMachine, Plan, UpdateMachine

THERE, BUILT, FOREIGN, NO_APP = "there", "built", "foreign", "no-app"
"""States of an image: already there, built now, not Roost's to build, without an app."""


async def ensure_image(
    context: Context, target: Target, file: EnvironmentFile, reference: str
) -> str:
    """Make sure that the registry has an environment's image; build and push it if it is missing.

    Returns:
        THERE, BUILT or FOREIGN.

    Raises:
        UnappliableError: it is missing, and there is no docker to build it with.
        ImageError: it could not be built or pushed.
        FlyError: the registry refused, failed, or did not answer.
    """
    if file.environment.prefect.image:
        return FOREIGN
    if target.local is not None:
        return await _on_the_local_fly(context, target, file, reference)
    host = registry_host(context)
    app, tag = _place(reference)
    token = fly_token(context.environ)
    async with context.clients.registry(host, token) as registry:
        if await registry.has(app, tag):
            return THERE
        program = _docker(context, file)
        pushed = f"{host}/{app}:{tag}"
        with build_folder(context, file) as (folder, version):
            _print_building(context, file, version)
            with build_progress(context.progress) as report:
                docker = Docker(program, context.environ, report)
                await docker.build(folder, version, pushed)
        with build_progress(context.progress) as report:
            docker = Docker(program, context.environ, report)
            await docker.push(pushed, host, token)
        if not await registry.has(app, tag):
            raise ImageError(
                "docker pushed the image, but the registry does not have it.",
                where=pushed,
                advice="Run the same command again.",
            )
    context.progress.print(f"Pushed {pushed}", soft_wrap=True)
    return BUILT


async def prepare_image(
    context: Context, target: Target, file: EnvironmentFile, reference: str, plan: Plan
) -> Callable[[], Awaitable[None]] | None:
    """Make sure that the image of a plan exists before anything is changed.

    An app has a registry only once it exists. If the plan creates the app, this checks that docker
    is there and returns the function to call once the app is created.

    Raises:
        UnappliableError: it is missing, and there is no docker to build it with.
        ImageError: it could not be built or pushed.
    """
    foreign = bool(file.environment.prefect.image)
    machines = [step for step in plan.steps if isinstance(step, CreateMachine | UpdateMachine)]
    if foreign or reference not in {step.config.get("image") for step in machines}:
        return None  # a rollback runs an image that was pushed before
    new = any(isinstance(step, CreateApp) for step in plan.steps)
    if target.local is None and new:
        _docker(context, file)
        return partial(_make, context, target, file, reference)
    await _make(context, target, file, reference)
    return None


async def _make(context: Context, target: Target, file: EnvironmentFile, reference: str) -> None:
    await ensure_image(context, target, file, reference)


def registry_host(context: Context) -> str:
    """Return the registry's host; FLY_REGISTRY_HOST overrides it, as for flyctl."""
    return context.environ.get("FLY_REGISTRY_HOST") or REGISTRY


def _place(reference: str) -> tuple[str, str]:
    """Split one of Roost's own references into the app and the tag."""
    app, _, tag = reference.removeprefix(f"{REGISTRY}/").partition(":")
    return app, tag


def _docker(context: Context, file: EnvironmentFile) -> str:
    """Return the path of docker.

    Raises:
        UnappliableError: there is none.
    """
    program = find_docker(context.environ)
    if not program:
        raise UnappliableError(
            "The image has to be built, and there is no docker here to build it with.",
            where=file.name,
            advice=(
                "Merge the change, and GitHub builds it; or run the same command where docker is. "
                "Nothing was changed."
            ),
        )
    return program


async def _on_the_local_fly(
    context: Context, target: Target, file: EnvironmentFile, reference: str
) -> str:
    """Make sure that the local Fly has the image; build it if it is missing."""
    if target.local is None or await target.local.has_image(reference):
        return THERE
    with build_folder(context, file) as (folder, version):
        _print_building(context, file, version)
        with build_progress(context.progress) as report:
            await target.local.build_image(folder, version, reference, report)
    return BUILT


def _print_building(context: Context, file: EnvironmentFile, version: str) -> None:
    what = f"the image of {file.name}" if file.beside else f"the image of Prefect {version}"
    often = "once for each change of its code" if file.beside else "once a version"
    context.progress.print(f"Building {what} ({often})")
