"""Fly's Machines API over HTTP, one module a resource."""
