-- SPDX-License-Identifier: Apache-2.0
--
-- What has been delivered of each day, to whom, and how long after the events were read? A merged batch has the lag of
-- the last that it was merged from. A destination is known from its first receipt on.
WITH destinations AS (
  SELECT DISTINCT destination FROM receipts
), first AS (
  SELECT * FROM receipts WHERE NOT replay AND NOT of_rejected
)
SELECT
  d.destination,
  CAST(b.until AS DATE) AS day,
  count(*) AS batches,
  sum(b.events) AS events,
  count(*) FILTER (WHERE r.batch IS NULL) AS outstanding,
  sum(coalesce(r.delivered, 0)) AS delivered,
  sum(coalesce(r.rejected, 0)) AS rejected,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY date_diff('second', b.until, r.finished)) AS p50_lag_seconds,
  max(date_diff('second', b.until, r.finished)) AS max_lag_seconds
FROM batches b
CROSS JOIN destinations d
LEFT JOIN first r ON r.destination = d.destination AND r.cluster = b.cluster AND r.batch = b.batch
GROUP BY 1, 2
ORDER BY 1, 2;
