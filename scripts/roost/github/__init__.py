"""GitHub: its REST API, and the runner that a workflow's steps talk to (network and runner)."""
