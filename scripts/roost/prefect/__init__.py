"""A Prefect server, seen from outside (network)."""
