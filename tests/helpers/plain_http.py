"""HTTP without TLS, for clients of servers on this computer."""

from __future__ import annotations

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody. Without it each client of httpx reads all certificates of the system, which takes 20 ms of CPU:
a loop that asks every 20 ms whether a server is up would take half a core from that server."""
