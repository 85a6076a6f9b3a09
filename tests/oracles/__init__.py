"""Second implementations, from which expected values come: slow, plain, and nothing of the product."""
