"""What the receiver and the writer agree on: configuration, the stream, failures, metrics, health."""
