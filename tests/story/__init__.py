"""An hour of two projects' flows on a local Fly, in real time, beside servers that never sleep."""
