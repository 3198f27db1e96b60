"""`traksense-ingest simulate`: a fleet of devices that publish over real MQTT.

signals → devices → messages, faults → fleet (pure, up to here) → publish → tally → summary
"""
