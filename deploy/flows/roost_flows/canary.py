"""Run one real flow: it proves that this image executes flows and that their logs arrive.

The launcher runs it once for each version, as a process of its own: `python -m roost_flows.canary`.
"""

from __future__ import annotations

import os

from prefect import flow, get_run_logger, tags


# Prefect is in images only: mypy sees no types of it.
@flow(name="roost-canary", flow_run_name="roost-canary-{version}")  # type: ignore[untyped-decorator]
def roost_canary(name: str, version: str) -> None:
    """Log the line that the gate looks for."""
    get_run_logger().info("roost canary of %s, version %s", name, version)


def main() -> None:
    """Run the canary of this machine."""
    with tags("roost"):
        roost_canary(os.environ["ROOST_FLOW_SERVER"], os.environ.get("FLY_MACHINE_VERSION", ""))


if __name__ == "__main__":
    main()
