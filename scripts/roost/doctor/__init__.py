"""What `roost doctor` looks at, by where it looks."""
