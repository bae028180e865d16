-- SPDX-License-Identifier: Apache-2.0
--
-- Which pipelines were started and never heard of again, by type and week of their start? A run counts as lost when its
-- cluster was heard of more than a day later and its end was not.
WITH heard AS (
  SELECT cluster_id_hash, max(timestamp) AS last FROM events GROUP BY 1
), started AS (
  SELECT cluster_id_hash, regexp_replace(message_id, '-started$', '') AS run, timestamp, pipeline_type
  FROM events WHERE event = 'PipelineRun Started'
), completed AS (
  SELECT cluster_id_hash, regexp_replace(message_id, '-completed$', '') AS run
  FROM events WHERE event = 'PipelineRun Completed'
)
SELECT
  CAST(date_trunc('week', s.timestamp) AS DATE) AS week,
  coalesce(s.pipeline_type, 'none') AS type,
  count(*) AS started,
  count(*) FILTER (WHERE c.run IS NULL) AS unfinished,
  count(*) FILTER (WHERE c.run IS NULL AND s.timestamp < h.last - INTERVAL '1' DAY) AS lost
FROM started s
JOIN heard h ON h.cluster_id_hash = s.cluster_id_hash
LEFT JOIN completed c ON c.cluster_id_hash = s.cluster_id_hash AND c.run = s.run
GROUP BY 1, 2
ORDER BY 1, 2;
