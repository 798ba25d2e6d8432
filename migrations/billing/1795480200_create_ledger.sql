-- The usage ledger: what hosts saw. Rows are added, never changed.

-- Who an interval is about. One row per pod and host, so that intervals stay narrow.
create table resources (
    resource_id    bigint generated always as identity primary key,
    resource_uid   text not null,
    source         text not null,
    tenant_id      text not null,
    compartment_id text not null,
    cluster_id     text not null,
    namespace      text not null,
    name           text not null,
    shape          text not null,
    recorded_at    timestamptz not null default now(),
    constraint resources_uid_and_source_are_unique unique (resource_uid, source)
);

create index resources_by_place on resources (tenant_id, cluster_id, namespace, name, resource_uid);

-- [from_ms, to_ms) in Unix milliseconds. No foreign key: its check would cost as much as the insert itself, and
-- resource_id comes from the table above, whose rows are never deleted.
create table intervals (
    resource_id  bigint not null,
    sequence     bigint not null,
    from_ms      bigint not null,
    to_ms        bigint not null,
    ocpu_milli   bigint not null,
    memory_bytes bigint not null,
    recorded_at  timestamptz not null default now(),
    primary key (resource_id, sequence),
    constraint intervals_have_a_length check (to_ms > from_ms),
    constraint intervals_are_counted_from_one check (sequence >= 1),
    constraint intervals_have_a_size check (ocpu_milli >= 0 and memory_bytes >= 0)
);

-- Ends of billing; the earliest counts. An empty source means every source.
create table closures (
    resource_uid text not null,
    source       text not null,
    at_ms        bigint not null,
    reason       text not null,
    recorded_at  timestamptz not null default now(),
    primary key (resource_uid, source, at_ms)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only: % of % is refused', tg_op, tg_table_name;
end
$$;

create trigger resources_are_append_only before update or delete or truncate on resources
    for each statement execute function refuse_change();
create trigger intervals_are_append_only before update or delete or truncate on intervals
    for each statement execute function refuse_change();
create trigger closures_are_append_only before update or delete or truncate on closures
    for each statement execute function refuse_change();
