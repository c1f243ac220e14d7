"""`roost image`: print or push the image that an environment runs."""

from __future__ import annotations

import json

from roost.environment.load import EnvironmentFile, load_unit
from roost.errors import ExitCode
from roost.operations.context import Context
from roost.operations.fly_target import connect, fly_token
from roost.operations.image_parts import image_for
from roost.operations.images import FOREIGN, NO_APP, THERE, ensure_image


async def image(
    context: Context,
    name: str,
    *,
    push: bool,
    as_json: bool,
) -> ExitCode:
    """Print an environment's image; with `push`, build and push it if the registry lacks it.

    An app that does not exist yet has no registry: the apply that creates it pushes the image.

    Raises:
        UnappliableError: the image is missing, and there is no docker to build it with.
        ImageError: it could not be built or pushed.
    """
    file = load_unit(name, context.environments)
    reference = image_for(context, file)
    state = await _push(context, file, reference) if push else None
    if as_json:
        foreign = bool(file.environment.prefect.image)
        document = {"environment": name, "app": file.environment.app, "image": reference}
        context.out.print_json(json.dumps({**document, "ours": not foreign, "state": state}))
        return ExitCode.DONE
    context.out.print(reference, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def _push(context: Context, file: EnvironmentFile, reference: str) -> str:
    if file.environment.prefect.image:
        context.progress.print(f"{file.name} runs an image of its own: there is nothing to build.")
        return FOREIGN
    fly_token(context.environ, has_local=False)
    async with connect(context, local=False) as target:
        app = file.environment.app
        if target.local is None and await target.fly.get_app(app) is None:
            context.progress.print(
                f"The app {app} does not exist yet, so it has no registry to push to. "
                "The apply that creates it also pushes the image.",
                soft_wrap=True,
            )
            return NO_APP
        state = await ensure_image(context, target, file, reference)
    if state == THERE:
        context.progress.print("The registry has it already: nothing is built.")
    return state
