"""What this client calls itself wherever it says who it is."""

CLIENT = "python/0.1.0"
