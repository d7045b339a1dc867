"""The gateway as its users see it: a real process, plain stubs, raw Links."""
