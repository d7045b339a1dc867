"""The HTTP face: it translates, and nothing more."""
