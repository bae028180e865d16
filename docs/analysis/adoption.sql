-- SPDX-License-Identifier: Apache-2.0
--
-- In which environments is the product used, and which features do they have? Each cluster counts once for each property,
-- with what it told last; in a list or in counts, once for each word in it. What could not be read says why.
-- Most properties have no column: the payload has them all.
WITH told AS (
  SELECT
    cluster_id_hash, CAST(payload AS JSON) -> 'properties' AS properties,
    row_number() OVER (PARTITION BY cluster_id_hash ORDER BY timestamp DESC, message_id) AS back
  FROM events
  WHERE event = 'Cluster Inventory'
), properties AS (
  SELECT cluster_id_hash, name, properties -> name AS value
  FROM (SELECT *, unnest(json_keys(properties)) AS name FROM told WHERE back = 1)
  WHERE name NOT LIKE '%Hash'
), words AS (
  SELECT
    cluster_id_hash, name,
    unnest(CASE json_type(value)
      WHEN 'OBJECT' THEN json_keys(value)
      WHEN 'ARRAY' THEN value ->> '$[*]'
      ELSE [value ->> '$']
    END) AS word
  FROM properties
)
SELECT
  regexp_replace(name, 'Outcome$', '') AS property,
  CASE WHEN name LIKE '%Outcome' THEN 'not known: ' || word ELSE word END AS value,
  count(DISTINCT cluster_id_hash) AS clusters
FROM words
GROUP BY 1, 2
ORDER BY 1, 2;
