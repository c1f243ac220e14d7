"""HTTP: addresses, limits, retries and replies, shared by the clients of Fly, GitHub and Prefect."""
