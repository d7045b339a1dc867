"""Runs the cases over all combinations and says what differs."""
