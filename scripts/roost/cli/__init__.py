"""The command line: process, options and one module of commands a group; it only parses and calls."""
