"""`traksense-ingest validate`: the five acceptance checks of a running pipeline, from the outside.

Messages are published by MQTT under a tenant made up for the run; what became of them is looked up in the
database and in the services' metrics; at the end everything of that tenant is removed.
"""
