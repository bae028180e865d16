-- SPDX-License-Identifier: Apache-2.0
--
-- How many installations succeed, and how long do they take, by the week in which they were begun? Late ones were not
-- ready in time; they may be ready by now. Older installations, of which only the end was seen, count in the week that
-- their start time says.
WITH installations AS (
  SELECT
    cluster_id_hash,
    regexp_replace(message_id, '-(started|completed|failed|removal-started)$', '') AS installation,
    min(CASE event WHEN 'Operator Deployment Started' THEN timestamp ELSE start_time END) AS begun,
    count(*) FILTER (WHERE event = 'Operator Deployment Completed') AS succeeded,
    count(*) FILTER (WHERE event = 'Operator Deployment Failed') AS late,
    count(*) FILTER (WHERE event = 'Operator Removal Started') AS removed,
    min(duration_seconds) AS seconds
  FROM events
  WHERE event LIKE 'Operator %'
  GROUP BY 1, 2
)
SELECT
  CAST(date_trunc('week', begun) AS DATE) AS week,
  count(*) AS begun,
  sum(succeeded) AS succeeded,
  sum(late) AS late,
  sum(removed) AS removed,
  round(100e0 * sum(succeeded) / count(*), 1) AS success_percent,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) AS p50_seconds,
  max(seconds) AS max_seconds
FROM installations
GROUP BY 1
ORDER BY 1;
