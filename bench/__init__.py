"""Ours and peers, measured in one run: `python -m bench`."""
