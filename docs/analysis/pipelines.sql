-- SPDX-License-Identifier: Apache-2.0
--
-- How many pipelines succeed, how do the others end, and how long do they take, by type and week of their end?
-- The rate is of all that ended, the cancelled ones included.
SELECT
  CAST(date_trunc('week', timestamp) AS DATE) AS week,
  coalesce(pipeline_type, 'none') AS type,
  count(*) AS runs,
  count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded,
  count(*) FILTER (WHERE outcome = 'failed') AS failed,
  count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE outcome = 'timeout') AS timeout,
  round(100e0 * count(*) FILTER (WHERE outcome = 'succeeded') / count(*), 1) AS success_percent,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS p50_seconds,
  percentile_disc(0.9) WITHIN GROUP (ORDER BY duration_seconds) AS p90_seconds,
  percentile_disc(0.99) WITHIN GROUP (ORDER BY duration_seconds) AS p99_seconds
FROM events
WHERE event = 'PipelineRun Completed'
GROUP BY 1, 2
ORDER BY 1, 2;
