"""Test Roost under faults: kills between calls, lost responses, API faults, concurrent commands."""
