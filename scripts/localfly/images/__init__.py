"""Build images from a lock, files and a command, and name them by a hash of these parts."""
