"""Fly's Machines API over HTTP, with one module for each resource."""
