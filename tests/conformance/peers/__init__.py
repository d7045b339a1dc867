"""Peers: thin programs in each language that do what the runner says, with the public API of the client only."""
