"""Where an app is reached. Pure."""

from __future__ import annotations


def app_address(app: str, *, public: bool) -> str:
    """Return the address of an app on Fly.io; a private one has none on the internet.

    A public server redirects plain HTTP, on its Flycast address too, so others use its public one.
    """
    return f"https://{app}.fly.dev" if public else f"http://{app}.flycast"


def internal_name(app: str) -> str:
    """Return the name by which an app's machines are reached in the private network, past Fly's proxy."""
    return f"{app}.internal"
