-- Where a placement is asked for; empty: anywhere. A virtual node's pods are in its fault domain.
alter table placements
    add column if not exists availability_domain text not null default '',
    add column if not exists fault_domain text not null default '';
