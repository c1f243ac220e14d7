"""`roost image`: which image an environment runs, and that image where its machines find it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from roost.environment.load import EnvironmentFile
from roost.errors import ImageError, UnappliableError
from roost.operations.build_progress import build_progress
from roost.operations.context import Context
from roost.operations.docker import Docker, find_docker
from roost.operations.fly_target import Target, fly_token
from roost.plan.image import REGISTRY
from roost.plan.steps import CreateApp, CreateMachine, Plan, UpdateMachine

THERE, BUILT, FOREIGN, NO_APP = "there", "built", "foreign", "no-app"
"""What became of an image: it was there, it was built, it is not ours to build, or its app is missing."""


async def ensure_image(
    context: Context, target: Target, file: EnvironmentFile, reference: str
) -> str:
    """Have an environment's image where its machines find it: it is there, or it is built now.

    Returns:
        THERE, BUILT or FOREIGN.

    Raises:
        UnappliableError: it is not there, and there is nothing to build it with.
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
        version = file.environment.prefect.version
        context.progress.print(f"Building the image of Prefect {version} (once a version)")
        pushed = f"{host}/{app}:{tag}"
        with build_progress(context.progress) as tell:
            docker = Docker(program, context.environ, tell)
            await docker.build(context.deploy, version, pushed)
            await docker.push(pushed, host, token)
        if not await registry.has(app, tag):
            raise ImageError(
                "docker pushed the image, but the registry does not have it.",
                where=pushed,
                advice="Run the same command again.",
            )
    context.progress.print(f"Pushed {pushed}", soft_wrap=True)
    return BUILT


async def image_before(
    context: Context, target: Target, file: EnvironmentFile, reference: str, plan: Plan
) -> Callable[[], Awaitable[None]] | None:
    """Have the image of a plan ready before anything is changed, or say what makes it ready.

    Only an app that exists has a registry. For one that the plan creates, this gives what is to be
    called once it is created; that it can be built is made sure of now.

    Raises:
        UnappliableError: it has to be built, and there is nothing to build it with.
        ImageError: it could not be built or pushed.
    """
    foreign = bool(file.environment.prefect.image)
    machines = [step for step in plan.steps if isinstance(step, CreateMachine | UpdateMachine)]
    if foreign or reference not in {step.config.get("image") for step in machines}:
        return None  # what goes back to an earlier release runs an image that was there
    new = any(isinstance(step, CreateApp) for step in plan.steps)
    if target.local is None and new:
        _docker(context, file)
        return partial(_make, context, target, file, reference)
    await _make(context, target, file, reference)
    return None


async def _make(context: Context, target: Target, file: EnvironmentFile, reference: str) -> None:
    await ensure_image(context, target, file, reference)


def registry_host(context: Context) -> str:
    """Return the registry's host; FLY_REGISTRY_HOST names another, as for flyctl."""
    return context.environ.get("FLY_REGISTRY_HOST") or REGISTRY


def _place(reference: str) -> tuple[str, str]:
    """Take our own reference apart: the app, and the tag."""
    app, _, tag = reference.removeprefix(f"{REGISTRY}/").partition(":")
    return app, tag


def _docker(context: Context, file: EnvironmentFile) -> str:
    """Return the program that builds.

    Raises:
        UnappliableError: it is not there.
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
    """Have the image ready on the local Fly, as it is in the app's registry on Fly.io."""
    if target.local is None or await target.local.has_image(reference):
        return THERE
    version = file.environment.prefect.version
    context.progress.print(f"Building the image of Prefect {version} (once a version)")
    with build_progress(context.progress) as tell:
        await target.local.build_image(context.deploy, version, reference, tell)
    return BUILT
