"""What a service runs in: its start and end, tasks, retries, health, log."""
