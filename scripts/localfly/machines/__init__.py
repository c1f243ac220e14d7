"""The life of machines: admitted, created, started, suspended, stopped, updated, destroyed."""
