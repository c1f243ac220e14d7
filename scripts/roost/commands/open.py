"""`roost open`: wake a server and show it in a browser."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Mapping

from roost.environment.load import load_environment
from roost.errors import ExitCode
from roost.operations.context import Context
from roost.operations.server_address import server_url
from roost.operations.sleep_wake import time_wake

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


async def open_server(
    context: Context,
    name: str,
    *,
    local: bool,
    browse: Callable[[str], bool] = webbrowser.open,
    platform: str = sys.platform,
) -> ExitCode:
    """Wake a server with a request, print its address, and open it where there is a browser.

    For a server without pages the address of its API is printed.

    Raises:
        SmokeFailedError: it does not get ready.
        PrivateNetworkError: it is private, and this computer is outside its network.
    """
    file = load_environment(name, context.environments)
    url = await server_url(context, file, local=local)
    seconds = await time_wake(context, url)
    context.progress.print(f"{name} answers after {seconds:.2f} s.", markup=False)
    if not file.environment.access.ui:
        context.progress.print(
            "It has the API alone, without pages: access.ui is false.", markup=False
        )
        context.out.print(f"{url}/api", markup=False, soft_wrap=True)
        return ExitCode.DONE
    context.out.print(url, markup=False, soft_wrap=True)
    if not (has_display(context.environ, platform) and browse(url)):
        context.progress.print("There is no browser here. Open the address above in yours.")
    return ExitCode.DONE


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser can have a window; one in the terminal would be of no use here."""
    return platform in {"darwin", "win32"} or any(environ.get(name) for name in DISPLAYS)
