"""MQTT → Redis Streams: raw messages into a capped stream, acknowledged once they are in it."""
