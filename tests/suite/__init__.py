"""The transport suite, by subject; `tests/transport_suite.py` runs it on every transport."""
