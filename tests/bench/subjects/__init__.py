"""The subjects: each measures one thing and gives a table."""
