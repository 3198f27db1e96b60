"""`traksense-ingest mapping`: what a mapping file is checked, tried, compared and drafted with.

messages (from options, a capture, MQTT, the DLQ, a stream) → decoded as a writer would → rows → text or JSON
"""
