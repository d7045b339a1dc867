"""What a process remembers of the chains it took part in (SPEC.md, section 13)."""
