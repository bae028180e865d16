-- SPDX-License-Identifier: Apache-2.0
--
-- The events as a table of Spark. Not run by a test; the columns are those of the files. Set the location, and tell the
-- catalogue of new days by the last statement.
SET TIME ZONE 'UTC';

CREATE TABLE telemetry.events (
  message_id STRING,
  event STRING,
  timestamp TIMESTAMP,
  namespace_hash STRING,
  user_hash STRING,
  task_count BIGINT,
  has_pipeline_label BOOLEAN,
  pipeline_type STRING,
  cluster_id_hash STRING,
  konflux_version STRING,
  kubernetes_version STRING,
  start_time TIMESTAMP,
  completion_time TIMESTAMP,
  duration_seconds BIGINT,
  status STRING,
  outcome STRING,
  component_hash STRING,
  application_hash STRING,
  pipeline_runs_outcome STRING,
  components_outcome STRING,
  namespaces_outcome STRING,
  konfluxes_outcome STRING,
  results_outcome STRING,
  dir_outcome STRING,
  inventory_outcome STRING,
  platform_distribution STRING,
  platform_cloud STRING,
  platform_manager STRING,
  open_shift_version STRING,
  node_count BIGINT,
  node_architectures STRING,
  pod_count BIGINT,
  service_count BIGINT,
  mesh_service_share STRING,
  payload STRING,
  cluster STRING,
  date DATE
)
USING PARQUET
PARTITIONED BY (cluster, date)
LOCATION 's3a://telemetry/prod/v1/events';

MSCK REPAIR TABLE telemetry.events;
