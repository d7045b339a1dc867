"""What the runner must find: wrong cases, and a peer that lies."""
