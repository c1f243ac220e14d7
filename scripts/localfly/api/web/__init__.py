"""Fly's `/api/v1` beside the Machines API: organizations, builds, releases and logs of flyctl."""
