"""What recurs (SPEC.md, section 16)."""
