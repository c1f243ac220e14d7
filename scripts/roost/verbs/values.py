"""The values of an environment's secrets that are here, from wherever its file says they come."""

from __future__ import annotations

from roost.apply.secret_values import Values, find_values
from roost.apply.sops import SopsFiles
from roost.environment.load import EnvironmentFile
from roost.verbs.context import Context
from roost.verbs.throwaway import Throwaway


def given_values(context: Context, file: EnvironmentFile) -> Values:
    """Give what the sources hold; what is not to be had is told, not raised."""
    files = SopsFiles(file.repository, context.environ)
    return find_values(file.environment.secrets, context.environ, files)


def known_values(context: Context, file: EnvironmentFile, *, throwaway: bool) -> Values:
    """Give them with those that were made up for the local Fly before; none is made here."""
    given = given_values(context, file)
    return with_throwaway(context, file, given) if throwaway else given


def with_throwaway(context: Context, file: EnvironmentFile, given: Values) -> Values:
    """Give values with those that were made up before for the missing ones; none is made here."""
    return given.with_made(Throwaway(context.local_home).known(file.environment.app, given.missing))


def complete_values(context: Context, file: EnvironmentFile, known: Values) -> Values:
    """Make up, for the local Fly, what is still missing; each is shown once."""
    made, new = Throwaway(context.local_home).values(file.environment.app, known.missing)
    for name in sorted(new):
        context.progress.print(
            f"{name} has no value here. For the local Fly it is: {made[name].reveal()}"
        )
    return known.with_made(made)
