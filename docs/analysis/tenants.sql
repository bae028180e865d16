-- SPDX-License-Identifier: Apache-2.0
--
-- How many clusters, namespaces and users are active, that is, run pipelines, in each week?
SELECT
  CAST(date_trunc('week', timestamp) AS DATE) AS week,
  count(DISTINCT cluster_id_hash) AS clusters,
  count(DISTINCT namespace_hash) AS namespaces,
  count(DISTINCT user_hash) AS users,
  count(*) AS runs
FROM events
WHERE event = 'PipelineRun Started'
GROUP BY 1
ORDER BY 1;
