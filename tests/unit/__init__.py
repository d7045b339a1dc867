"""Unit tests: one module or class each."""
