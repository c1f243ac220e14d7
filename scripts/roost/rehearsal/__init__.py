"""Rehearsals: a change applied to its base on a private local Fly, and proved there."""
