"""Machines as processes of this computer."""
