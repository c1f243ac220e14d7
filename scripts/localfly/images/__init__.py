"""Images: a lock, files and a command, built once and named by what they are made of."""
