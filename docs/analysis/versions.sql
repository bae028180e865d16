-- SPDX-License-Identifier: Apache-2.0
--
-- Which versions are in use? Each cluster counts once in each week, with the last that it told of.
WITH told AS (
  SELECT
    CAST(date_trunc('week', timestamp) AS DATE) AS week, cluster_id_hash, konflux_version, kubernetes_version,
    row_number() OVER (
      PARTITION BY CAST(date_trunc('week', timestamp) AS DATE), cluster_id_hash ORDER BY timestamp DESC, message_id
    ) AS back
  FROM events
)
SELECT
  week,
  coalesce(konflux_version, 'unknown') AS konflux,
  coalesce(kubernetes_version, 'unknown') AS kubernetes,
  count(*) AS clusters
FROM told
WHERE back = 1
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
