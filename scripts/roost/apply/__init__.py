"""What changes it (effects)."""
