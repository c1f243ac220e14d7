"""The environment in which Fly's own client, flyctl, talks to this computer and to nobody else.

Read from flyctl 0.4.87 and fly-go 0.9.5, and seen with `strace` on every connection.
"""

from __future__ import annotations

from pathlib import Path

NOWHERE = "127.0.0.1:9"
"""The discard port, where nothing listens, so that a connection is refused at once."""


def client_environment(api_url: str, home: Path, token: str) -> dict[str, str]:
    """Return the variables of flyctl for one local Fly.

    Args:
        api_url: the address of its API, without a path.
        home: its home folder; flyctl's own files go below it, not to the user's.
        token: what flyctl sends as its token.
    """
    nowhere = f"http://{NOWHERE}"
    return {
        "FLY_API_BASE_URL": api_url,
        "FLY_FLAPS_BASE_URL": api_url,
        "FLY_UIEX_BASE_URL": api_url,
        "FLY_API_TOKEN": token,
        "FLY_CONFIG_DIR": str(home / "flyctl"),
        # It reports what it does to Fly: metrics, traces, and how well it reaches Fly's edge.
        "FLY_SEND_METRICS": "0",
        "FLY_METRICS_BASE_URL": nowhere,
        "FLY_SYNTHETICS_AGENT": "0",
        "FLY_SYNTHETICS_BASE_URL": nowhere,
        "FLY_TRACE_COLLECTOR_URL": "127.0.0.1",
        # It asks Fly for a newer version and for incidents.
        "FLY_NO_UPDATE_CHECK": "1",
        "FLY_NO_INCIDENTS_CHECK": "1",
        # Its feature flags and its crash reports have addresses that no variable changes.
        "HTTPS_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1,localhost",
    }
