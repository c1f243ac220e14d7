"""The same facts for a terminal and for a pull request."""
