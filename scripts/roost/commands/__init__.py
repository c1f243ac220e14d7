"""What each command does, put together from operations; the command line only parses and calls."""
