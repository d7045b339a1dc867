"""Events that wait on this machine's disk for the broker (SPEC.md, section 14)."""
