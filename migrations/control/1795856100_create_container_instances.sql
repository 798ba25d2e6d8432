-- Container instances. Times are Unix milliseconds, from the service's clock.
create table container_instances (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    compartment_id text not null,
    display_name text not null,
    availability_domain text not null,
    -- CREATING -> ACTIVE | INACTIVE | FAILED; ACTIVE <-> INACTIVE, by UPDATING; any but DELETED -> DELETING -> DELETED.
    lifecycle_state text not null constraint container_instances_lifecycle_state check (lifecycle_state in
        ('CREATING', 'UPDATING', 'ACTIVE', 'INACTIVE', 'DELETING', 'DELETED', 'FAILED')),
    lifecycle_details text,
    ocpus bigint not null,
    memory_gb bigint not null,
    -- The request with its environments and passwords, sealed.
    spec bytea not null,
    vnic_id text not null,
    network_id text not null,
    subnet_id text not null,
    -- Range of its subnet, from which its address is leased.
    address_range text not null,
    private_ip text,
    wish text not null constraint container_instances_wish check (wish in ('RUN', 'STOP', 'DELETE')),
    -- Counts its starts.
    run bigint not null,
    -- Grows with each change that its host must know.
    generation bigint not null,
    -- Its placement in the fleet, made anew for each run; null: none.
    placement_uid text constraint container_instances_placement unique,
    placement_run bigint,
    placement_generation bigint,
    -- The placement was on a host.
    placement_seen boolean not null default false,
    -- Grows with each change; the etag.
    version bigint not null default 1,
    -- The work request that is going on, if one is.
    work_request_id text,
    created_ms bigint not null,
    updated_ms bigint,
    state_ms bigint not null
);
create index container_instances_compartment on container_instances (compartment_id, created_ms);
create index container_instances_subnet on container_instances (subnet_id) where lifecycle_state <> 'DELETED';
create index container_instances_unsettled on container_instances (id)
    where lifecycle_state in ('CREATING', 'UPDATING', 'DELETING') or placement_uid is not null;

create table containers (
    id text primary key,
    instance_id text not null references container_instances (id) on delete cascade,
    -- Its place in the request.
    number integer not null,
    display_name text not null,
    freeform_tags jsonb not null,
    defined_tags jsonb not null,
    lifecycle_state text not null constraint containers_lifecycle_state check (lifecycle_state in
        ('CREATING', 'UPDATING', 'ACTIVE', 'INACTIVE', 'DELETING', 'DELETED', 'FAILED')),
    -- How it is beside its state: exit code, restarts, health checks.
    seen jsonb not null,
    version bigint not null default 1,
    created_ms bigint not null,
    updated_ms bigint,
    constraint containers_number unique (instance_id, number)
);
