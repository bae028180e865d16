-- SPDX-License-Identifier: Apache-2.0
--
-- How does the number of components, applications and tenants grow? What is made again counts once; the components of a
-- namespace that have no application share one.
WITH firsts AS (
  SELECT 'applications' AS what, application_hash AS hash, min(timestamp) AS first
  FROM events WHERE event = 'Component Created' GROUP BY 2
  UNION ALL
  SELECT 'components', component_hash, min(timestamp)
  FROM events WHERE event = 'Component Created' GROUP BY 2
  UNION ALL
  SELECT 'tenants', namespace_hash, min(timestamp)
  FROM events WHERE event = 'Namespace Created' GROUP BY 2
)
SELECT
  what,
  CAST(date_trunc('week', first) AS DATE) AS week,
  count(*) AS added,
  sum(count(*)) OVER (PARTITION BY what ORDER BY CAST(date_trunc('week', first) AS DATE)) AS total
FROM firsts
GROUP BY 1, 2
ORDER BY 1, 2;
