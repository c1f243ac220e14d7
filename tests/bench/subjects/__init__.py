"""The subjects; each measures one thing and returns a table."""
