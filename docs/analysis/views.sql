-- SPDX-License-Identifier: Apache-2.0
--
-- What the queries of this folder read, for DuckDB. Before it: SET VARIABLE stage = '<folder or s3://bucket/prefix>';

-- Manifests and receipts, read as text so that fields of later releases do no harm.
CREATE OR REPLACE TEMP VIEW documents AS
SELECT filename, CAST(content AS JSON) AS document
FROM read_text([getvariable('stage') || '/v1/manifests/**/*.json', getvariable('stage') || '/v1/receipts/**/*.json']);

-- The batches that count: committed by a manifest, and not replaced by a merged batch.
CREATE OR REPLACE TEMP VIEW batches AS
WITH manifests AS (
  SELECT
    document ->> 'cluster' AS cluster,
    document ->> 'batch' AS batch,
    CAST(document ->> '$.window.since' AS TIMESTAMP) AS since,
    CAST(document ->> '$.window.until' AS TIMESTAMP) AS until,
    CAST(document ->> '$.files[*].rows' AS BIGINT[]) AS rows,
    document ->> '$.files[*].key' AS keys,
    document ->> '$.replaces[*].batch' AS replaces
  FROM documents
  WHERE starts_with(filename, getvariable('stage') || '/v1/manifests/')
)
SELECT cluster, batch, since, until, list_sum(rows) AS events, keys
FROM manifests
WHERE (cluster, batch) NOT IN (SELECT (cluster, unnest(replaces)) FROM manifests);

-- Each delivery of a batch; the first one has neither replay nor of_rejected.
CREATE OR REPLACE TEMP VIEW receipts AS
SELECT
  document ->> 'destination' AS destination,
  document ->> 'cluster' AS cluster,
  document ->> 'batch' AS batch,
  CAST(document ->> 'started' AS TIMESTAMP) AS started,
  CAST(document ->> 'finished' AS TIMESTAMP) AS finished,
  CAST(document ->> 'events' AS BIGINT) AS events,
  CAST(document ->> 'delivered' AS BIGINT) AS delivered,
  CAST(document ->> 'rejected' AS BIGINT) AS rejected,
  coalesce(CAST(document ->> 'replay' AS BOOLEAN), false) AS replay,
  coalesce(CAST(document ->> 'ofRejected' AS BOOLEAN), false) AS of_rejected
FROM documents
WHERE starts_with(filename, getvariable('stage') || '/v1/receipts/');

-- Every staged event once, in UTC. A pseudonym may look like a number, hence the type of cluster.
CREATE OR REPLACE TEMP VIEW events AS
SELECT DISTINCT ON (message_id)
  * EXCLUDE (filename)
  REPLACE (
    timestamp AT TIME ZONE 'UTC' AS timestamp,
    start_time AT TIME ZONE 'UTC' AS start_time,
    completion_time AT TIME ZONE 'UTC' AS completion_time
  )
FROM read_parquet(
  getvariable('stage') || '/v1/events/*/*/*.parquet',
  union_by_name = true, filename = true, hive_partitioning = true, hive_types = {'cluster': VARCHAR, 'date': DATE}
)
WHERE filename IN (SELECT getvariable('stage') || '/' || unnest(keys) FROM batches);
