"""The life cycle of machines: admission, processes, health checks, restarts, recovery."""
