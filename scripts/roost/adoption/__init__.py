"""An app that was made without Roost: its environment file, and an environment's fly.toml. Pure."""
