"""The Machines API, typed (network)."""
