"""What kills, freezes and cuts off. Every test has servers of its own."""
