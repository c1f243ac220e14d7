"""Fly's own client, unmodified, on the local Fly: the session `./run flyctl`."""
