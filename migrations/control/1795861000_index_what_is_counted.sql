-- What limits count, by tenancy: a create must not read all tenants' rows.
create index clusters_tenancy on clusters (tenancy_id) where lifecycle_state <> 'DELETED';
create index virtual_node_pools_tenancy on virtual_node_pools (tenancy_id) where lifecycle_state <> 'DELETED';
create index container_instances_tenancy on container_instances (tenancy_id) where lifecycle_state <> 'DELETED';
create index vcns_tenancy on vcns (tenancy_id);
