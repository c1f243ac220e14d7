"""Roost at its worst moments: killed between any two calls, answers lost, storms, two at once."""
