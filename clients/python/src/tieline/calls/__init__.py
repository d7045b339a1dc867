"""Calls as the caller has them: their life, streams, gathers (SPEC.md, sections 6, 10 to 12)."""
