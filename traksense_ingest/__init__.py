"""Every message of a fleet of IoT devices into TimescaleDB, once: MQTT → Redis Streams → COPY."""
