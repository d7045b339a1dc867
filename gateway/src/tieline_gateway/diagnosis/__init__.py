"""What may be wrong with an installation, and how to mend it: what `tieline doctor` looks at."""
