"""Serve the flows of two projects from one process on a computer of your own.

Run it with the Prefect that `./run roost connect ENV` connected:

    python examples/serve_flows.py

It polls the server every 10 seconds for runs that are due, so the server stays awake while this runs.
docs/flows.md says what that costs, and has the files that keep this process running.
"""

from __future__ import annotations

from prefect import flow, get_run_logger, serve, task


@task(retries=2, retry_delay_seconds=5)
def fetch_orders(day: str) -> list[int]:
    """Return the amounts of a day's orders."""
    get_run_logger().info("fetching the orders of %s", day)
    return [20, 30, 50]


@flow(log_prints=True)
def daily_orders(day: str = "today") -> int:
    """Add a day's orders up."""
    total = sum(fetch_orders(day))
    print(f"{day}: {total}")
    return total


@flow(log_prints=True)
def refresh_dashboard() -> None:
    """Stand for the flow of another project on the same server."""
    print("refreshed")


if __name__ == "__main__":
    serve(
        # A tag for each project: the UI filters by it, and so does a concurrency limit.
        daily_orders.to_deployment(
            "shop", tags=["shop"], cron="0 6 * * *", parameters={"day": "today"}
        ),
        refresh_dashboard.to_deployment("website", tags=["website"], interval=3600),
        # Prefect pauses the schedules of what it serves when it ends. Without this line a restart
        # of this computer leaves them paused until somebody resumes each by hand.
        pause_on_shutdown=False,
        limit=5,
    )
