-- SPDX-License-Identifier: Apache-2.0
--
-- Is a silent cluster idle, or is its telemetry broken? A source that the cluster does not have is not broken.
SELECT
  cluster_id_hash AS cluster,
  min(timestamp) AS first_heard,
  max(timestamp) AS last_heard,
  count(*) FILTER (WHERE event = 'Segment Bridge Heartbeat') AS heartbeats,
  count(*) FILTER (
    WHERE pipeline_runs_outcome NOT IN ('ok', 'absent')
    OR components_outcome NOT IN ('ok', 'absent')
    OR namespaces_outcome NOT IN ('ok', 'absent')
    OR konfluxes_outcome NOT IN ('ok', 'absent')
    OR results_outcome NOT IN ('ok', 'absent')
    OR dir_outcome NOT IN ('ok', 'absent')
  ) AS troubled,
  count(*) FILTER (WHERE event <> 'Segment Bridge Heartbeat') AS events
FROM events
GROUP BY 1
ORDER BY 1;
