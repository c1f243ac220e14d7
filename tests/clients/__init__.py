"""Which Prefect clients work with which servers: `./run clients`."""
