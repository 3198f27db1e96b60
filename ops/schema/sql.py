"""The statements of `queries.sql`, by name."""

from __future__ import annotations

from traksense_ingest.shared.sql import statements

_statements = statements("traksense_ingest.ops.schema")

EDITION: str = _statements["edition"]
IS_HYPERTABLE: str = _statements["is_hypertable"]
JOB: str = _statements["job"]
ADD_RETENTION: str = _statements["add_retention"]
REMOVE_RETENTION: str = _statements["remove_retention"]
ADD_DLQ_JOB: str = _statements["add_dlq_job"]
REMOVE_JOB: str = _statements["remove_job"]
COLUMNSTORE: str = _statements["columnstore"]
ENABLE_COLUMNSTORE: str = _statements["enable_columnstore"]
DISABLE_COLUMNSTORE: str = _statements["disable_columnstore"]
ADD_COLUMNSTORE_POLICY: str = _statements["add_columnstore_policy"]
REMOVE_COLUMNSTORE_POLICY: str = _statements["remove_columnstore_policy"]
DECOMPRESS: str = _statements["decompress"]
DISABLE_ROW_SECURITY: str = _statements["disable_row_security"]
ENABLE_ROW_SECURITY: str = _statements["enable_row_security"]
AGGREGATES: str = _statements["aggregates"]
CREATE_SCHEMA: str = _statements["create_schema"]
CREATE_FROM_ROWS: str = _statements["create_from_rows"]
CREATE_FROM_AGGREGATE: str = _statements["create_from_aggregate"]
CREATE_INDEX: str = _statements["create_index"]
CREATE_VIEW: str = _statements["create_view"]
HAS_READER: str = _statements["has_reader"]
GRANT: str = _statements["grant"]
DROP: str = _statements["drop"]
ADD_REFRESH: str = _statements["add_refresh"]
REMOVE_REFRESH: str = _statements["remove_refresh"]
WHO_READS_ALL: str = _statements["who_reads_all"]
ROOT_BLOCKS: str = _statements["root_blocks"]
SHOW_HIDDEN: str = _statements["show_hidden"]
HIDE_HIDDEN: str = _statements["hide_hidden"]
CREATE_RECOVERED: str = _statements["create_recovered"]
TAKE_HIDDEN: str = _statements["take_hidden"]
STORE_RECOVERED: str = _statements["store_recovered"]
