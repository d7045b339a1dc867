"""Links: the bidirectional streams of full clients, from what comes in to what goes down. Rules: SPEC.md, section 8."""
