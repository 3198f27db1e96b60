"""`traksense-ingest simulate`: a fleet of devices that publish over real MQTT.

signals → messages → device, backend → fleet (pure, up to here) → run, over lanes → report
"""
