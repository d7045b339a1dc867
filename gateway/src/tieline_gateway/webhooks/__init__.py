"""Webhooks: deliveries of other systems in, events out to other systems."""
