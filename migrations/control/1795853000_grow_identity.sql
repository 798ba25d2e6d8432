-- Identity as OCI has it: compartments, groups, memberships and policies; and the audit log.
create table compartments (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    -- A compartment, or the tenancy: the root.
    parent_id text not null,
    name text not null,
    description text not null,
    lifecycle_state text not null constraint compartments_lifecycle_state
        check (lifecycle_state in ('ACTIVE', 'DELETED')),
    freeform_tags jsonb not null default '{}',
    defined_tags jsonb not null default '{}',
    version bigint not null default 1,
    created_ms bigint not null,
    deleted_ms bigint
);
create unique index compartments_name on compartments (tenancy_id, parent_id, lower(name))
    where lifecycle_state <> 'DELETED';
create index compartments_parent on compartments (parent_id, created_ms);

create table groups (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    name text not null,
    description text not null,
    freeform_tags jsonb not null default '{}',
    defined_tags jsonb not null default '{}',
    version bigint not null default 1,
    created_ms bigint not null
);
-- Statements name groups without regard to case.
create unique index groups_name on groups (tenancy_id, lower(name));

alter table users
    add column description text not null default '',
    add column email text,
    add column lifecycle_state text not null default 'ACTIVE' constraint users_lifecycle_state
        check (lifecycle_state in ('ACTIVE', 'INACTIVE')),
    add column freeform_tags jsonb not null default '{}',
    add column defined_tags jsonb not null default '{}',
    add column version bigint not null default 1;

create table group_memberships (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    user_id text not null references users (id) on delete cascade,
    group_id text not null references groups (id) on delete cascade,
    created_ms bigint not null,
    constraint group_memberships_once unique (user_id, group_id)
);
create index group_memberships_group on group_memberships (group_id);

create table policies (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    -- Its statements reach this compartment and those below.
    compartment_id text not null,
    name text not null,
    description text not null,
    statements text[] not null,
    version_date text,
    freeform_tags jsonb not null default '{}',
    defined_tags jsonb not null default '{}',
    version bigint not null default 1,
    created_ms bigint not null,
    constraint policies_name unique (compartment_id, name)
);
create index policies_tenancy on policies (tenancy_id);

-- What was a list of names at each user becomes groups and memberships. 256 random bits make an id.
insert into groups (id, tenancy_id, name, description, created_ms)
select 'ocid1.group.hako.local-1.' || left(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 52),
       tenancy_id, name, name, 0
  from (select distinct tenancy_id, unnest(groups) as name from users) as named;
insert into group_memberships (id, tenancy_id, user_id, group_id, created_ms)
select 'ocid1.groupmembership.hako.local-1.'
           || left(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 52),
       u.tenancy_id, u.id, g.id, u.created_ms
  from users u join groups g on g.tenancy_id = u.tenancy_id and g.name = any(u.groups);
insert into policies (id, tenancy_id, compartment_id, name, description, statements, created_ms)
select 'ocid1.policy.hako.local-1.' || left(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 52),
       id, id, 'Tenant Admin Policy', 'Administrators may do everything in the tenancy',
       array['Allow group Administrators to manage all-resources in tenancy'], created_ms
  from tenancies;
alter table users drop column groups;

-- What a tenancy may have of something, where its operator says otherwise than the default.
create table service_limits (
    tenancy_id text not null references tenancies (id),
    name text not null,
    value bigint not null constraint service_limits_value check (value >= 0),
    primary key (tenancy_id, name)
);

-- What compartments may have of something, as tenants' administrators say.
create table quotas (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    name text not null,
    description text not null,
    statements text[] not null,
    freeform_tags jsonb not null default '{}',
    defined_tags jsonb not null default '{}',
    version bigint not null default 1,
    created_ms bigint not null,
    constraint quotas_name unique (tenancy_id, name)
);

-- Networks, ranges of addresses in them, and rules about traffic.
create table vcns (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    compartment_id text not null,
    name text not null,
    description text not null default '',
    cidr_blocks text[] not null,
    dns_label text,
    -- Made at first use of its compartment; a compartment has one at most.
    is_default boolean not null default false,
    freeform_tags jsonb not null default '{}',
    defined_tags jsonb not null default '{}',
    version bigint not null default 1,
    created_ms bigint not null
);
create index vcns_compartment on vcns (compartment_id, created_ms);
create unique index vcns_default on vcns (compartment_id) where is_default;

create table subnets (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    compartment_id text not null,
    vcn_id text not null constraint subnets_vcn references vcns (id),
    name text not null,
    description text not null default '',
    cidr_block text not null,
    dns_label text,
    availability_domain text,
    prohibit_public_ip boolean not null default false,
    freeform_tags jsonb not null default '{}',
    defined_tags jsonb not null default '{}',
    version bigint not null default 1,
    created_ms bigint not null
);
create index subnets_compartment on subnets (compartment_id, created_ms);
create index subnets_vcn_created on subnets (vcn_id, created_ms);

create table security_groups (
    id text primary key,
    tenancy_id text not null references tenancies (id),
    compartment_id text not null,
    vcn_id text not null constraint security_groups_vcn references vcns (id),
    name text not null,
    description text not null default '',
    -- SecurityRules as they are on the wire, in the order of their making.
    rules jsonb not null default '[]',
    freeform_tags jsonb not null default '{}',
    defined_tags jsonb not null default '{}',
    version bigint not null default 1,
    created_ms bigint not null
);
create index security_groups_compartment on security_groups (compartment_id, created_ms);
create index security_groups_vcn_created on security_groups (vcn_id, created_ms);

-- Default networks were ids only: now they are rows, with the range that pods had as first subnet.
insert into vcns (id, tenancy_id, compartment_id, name, cidr_blocks, is_default, created_ms)
select vcn_id, compartment_id, compartment_id, 'default', array['10.240.0.0/12'], true, 0
  from default_vcns where compartment_id in (select id from tenancies);
insert into subnets (id, tenancy_id, compartment_id, vcn_id, name, cidr_block, created_ms)
select 'ocid1.subnet.hako.local-1.' || split_part(id, '.', 5), tenancy_id, compartment_id, id, 'pods', '10.244.0.0/16', 0
  from vcns;
drop table default_vcns;

-- What was asked for and how it ended. Two appends each: the second may be missing if the process was killed between.
create table audit_events (
    id text primary key,
    tenancy_id text not null,
    at_ms bigint not null,
    -- operationId of the OpenAPI document.
    operation text not null,
    method text not null,
    path text not null,
    user_id text not null,
    user_name text not null,
    address text not null,
    user_agent text not null,
    request_id text not null
);
create index audit_events_time on audit_events (tenancy_id, at_ms);
create table audit_outcomes (
    event_id text primary key references audit_events (id) on delete cascade,
    at_ms bigint not null,
    status smallint not null,
    code text,
    message text,
    compartment_id text not null,
    resource_id text,
    resource_name text
);
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end $$;
create trigger audit_events_append_only before update on audit_events execute function refuse_change();
create trigger audit_outcomes_append_only before update on audit_outcomes execute function refuse_change();
