"""Benchmarks of Roost compared with stock Prefect: `./run bench [SUBJECT...]`."""
