"""Small programs that use Tieline, and the demo: `python -m examples.demo`."""
