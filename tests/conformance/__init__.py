"""Every language behaves the same: cases in YAML, a runner, and a thin peer in each language. See README.md."""
