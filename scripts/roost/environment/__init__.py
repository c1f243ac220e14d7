"""What the user wrote (pure)."""
