"""One file for each way to make a call; `README.md` says what they have in common."""
