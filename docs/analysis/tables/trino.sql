-- SPDX-License-Identifier: Apache-2.0
--
-- The events as a table of Trino's Hive connector. Not run by a test; the columns are those of the files. Set the location, and
-- tell the catalogue of new days by the last statement.
CREATE TABLE hive.telemetry.events (
  message_id varchar,
  event varchar,
  timestamp timestamp(6),
  namespace_hash varchar,
  user_hash varchar,
  task_count bigint,
  has_pipeline_label boolean,
  pipeline_type varchar,
  cluster_id_hash varchar,
  konflux_version varchar,
  kubernetes_version varchar,
  start_time timestamp(6),
  completion_time timestamp(6),
  duration_seconds bigint,
  status varchar,
  outcome varchar,
  component_hash varchar,
  application_hash varchar,
  pipeline_runs_outcome varchar,
  components_outcome varchar,
  namespaces_outcome varchar,
  konfluxes_outcome varchar,
  results_outcome varchar,
  dir_outcome varchar,
  inventory_outcome varchar,
  platform_distribution varchar,
  platform_cloud varchar,
  platform_manager varchar,
  open_shift_version varchar,
  node_count bigint,
  node_architectures varchar,
  pod_count bigint,
  service_count bigint,
  mesh_service_share varchar,
  payload varchar,
  cluster varchar,
  date date
)
WITH (external_location = 's3://telemetry/prod/v1/events', format = 'PARQUET', partitioned_by = ARRAY['cluster', 'date']);

CALL hive.system.sync_partition_metadata('telemetry', 'events', 'FULL');
