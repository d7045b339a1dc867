"""Services with something to look at: what `tieline up --demo` starts beside the gateway."""
