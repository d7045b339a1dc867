"""Stored events: publishing, claiming, handling and settling them, dead letters (SPEC.md, section 14)."""
