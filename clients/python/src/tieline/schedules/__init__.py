"""What is planned, and what fires it when it is due (SPEC.md, section 15)."""
