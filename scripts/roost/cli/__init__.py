"""The command line: process, options and one module of commands a section; it parses and calls."""
