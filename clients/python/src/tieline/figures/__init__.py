"""What an instance counts, and how it is told (SPEC.md, section 13)."""
