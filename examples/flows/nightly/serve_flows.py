"""The flows of a flow server: copy this folder to flows/nightly and name it in an environment file.

    flows:
      - name: nightly
        path: flows/nightly
        command: [python, serve_flows.py]

The flow server sleeps while nothing is due. The server wakes it when a run is due, or when somebody
starts a run in the UI.
"""

from __future__ import annotations

from prefect import flow, get_run_logger, serve, task


@task(retries=2, retry_delay_seconds=5)
def count_orders(day: str) -> int:
    """Return the number of a day's orders."""
    get_run_logger().info("counting the orders of %s", day)
    return 3


@flow(retries=1, retry_delay_seconds=30, log_prints=True)
def nightly_report(day: str = "yesterday") -> int:
    """Report a day's orders. It may start again where a machine died, so it repeats no effect."""
    total = count_orders(day)
    print(f"{day}: {total} orders")
    return total


@flow(log_prints=True)
def rebuild(since: str = "2026-01-01") -> None:
    """Stand for work that a person starts by hand."""
    print(f"rebuilt everything since {since}")


if __name__ == "__main__":
    serve(
        nightly_report.to_deployment("nightly", tags=["nightly"], cron="0 3 * * *"),
        # Without a schedule: it runs when somebody starts it.
        rebuild.to_deployment("by-hand", tags=["nightly"]),
        # The flow server's launcher keeps schedules as they are; elsewhere this line does.
        pause_on_shutdown=False,
        limit=2,
    )
