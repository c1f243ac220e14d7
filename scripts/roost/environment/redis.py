"""The section `redis`: what several machines of one server share beside the database."""

from __future__ import annotations

from roost.environment.fields import Name
from roost.environment.strict import Model


class Redis(Model):
    """A Redis that runs somewhere else: 6.2 or newer, no cluster, for this environment alone."""

    url_secret: Name
    """Name of the secret that holds its address, rediss://USER:PASSWORD@HOST:PORT/0."""
