"""What each verb does, put together from the rooms below; the command line only parses and calls."""
