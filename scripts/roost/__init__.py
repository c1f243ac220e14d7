"""Roost: self-hosted Prefect servers on Fly.io, kept in git."""
