"""What would change (pure, but live.py)."""
