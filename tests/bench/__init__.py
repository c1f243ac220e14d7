"""What Roost costs and gains, measured beside stock Prefect: `./run bench [SUBJECT...]`."""
