"""What happened, recorded, asked for and delivered again (SPEC.md, section 17)."""
