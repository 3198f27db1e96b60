"""Puts messages into the streams as a receiver does, for `dlq replay` and `import`."""
