"""The entries of a stream, as its page shows them."""
