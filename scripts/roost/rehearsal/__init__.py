"""A change tried on a local Fly of its own, from the base to the proof."""
