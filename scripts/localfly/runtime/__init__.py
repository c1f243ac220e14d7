"""Run machines as processes of this computer."""
