"""The flows of a second project on the same server; see ../nightly for the first one.

    flows:
      - name: reports
        path: flows/reports
        command: [python, serve_flows.py]

Each project is a flow server of its own: its packages, secrets and memory are its own, and it sleeps
while only the other one works.
"""

from __future__ import annotations

from prefect import flow, serve


@flow(log_prints=True)
def stock_report(warehouse: str = "north") -> None:
    """Stand for a report that people read during office hours."""
    print(f"the stock of the warehouse {warehouse} is counted")


if __name__ == "__main__":
    serve(
        stock_report.to_deployment("office-hours", tags=["reports"], cron="0 8-17 * * mon-fri"),
        # The flow server's launcher keeps schedules as they are; elsewhere this line does.
        pause_on_shutdown=False,
        limit=2,
    )
