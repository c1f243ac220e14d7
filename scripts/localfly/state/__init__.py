"""What the local Fly remembers, and where."""
