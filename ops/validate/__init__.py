"""`traksense-ingest validate`: the five acceptance checks of a running pipeline, from the outside.

Messages are published over MQTT under a tenant made for the run; the database and the services' metrics show what
became of them; at the end everything of that tenant is removed.
"""
