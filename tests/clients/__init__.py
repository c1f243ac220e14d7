"""What each release of Prefect's client keeps on each server: `./run clients`."""
