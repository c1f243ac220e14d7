"""Fly's proxy: from a client's connection to a machine that can answer."""
