"""`roost export`: print the fly.toml of an environment."""

from __future__ import annotations

import tomllib

from roost.adoption.fly_toml import fly_toml
from roost.environment.load import load_environment
from roost.errors import ExitCode
from roost.operations.context import Context
from roost.operations.image_parts import image_for


def export(context: Context, name: str) -> ExitCode:
    """Print the fly.toml that describes an environment's machine; only the file is read."""
    file = load_environment(name, context.environments)
    text = fly_toml(file, image_for(context, file))
    tomllib.loads(text)
    context.out.print(text, end="", markup=False, highlight=False, soft_wrap=True)
    return ExitCode.DONE
