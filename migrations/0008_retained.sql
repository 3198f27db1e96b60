-- What came of messages with an empty payload, with which MQTT removes a retained message: they are settled, and leave
-- no row. And a way to find out whether a message has a dead letter already, since a broker sends a retained one again
-- at each subscription.

ALTER TABLE stream_ledger ADD COLUMN ignored bigint NOT NULL DEFAULT 0; -- settled with nothing to store

-- Of a hash, since a payload may be larger than an index's entries; a B-tree, since many may be the same. What a device
-- sends again and again is looked up among the retained ones alone, which are few.
CREATE INDEX ingest_errors_message ON ingest_errors (hashtextextended(payload, hashtextextended(topic, 0)));
CREATE INDEX ingest_errors_retained ON ingest_errors (hashtextextended(payload, hashtextextended(topic, 0)))
    WHERE starts_with(entry_id, 'retained:');
