"""The peer in Python."""
