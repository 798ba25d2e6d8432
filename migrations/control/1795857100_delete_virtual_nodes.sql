-- One virtual node can be deleted by itself.
alter table virtual_nodes
    -- How long its pods get to leave it; null: as long as anybody's.
    add column drain_ms bigint,
    -- It goes even if pods are left on it then; else it stays.
    add column forced boolean not null default true,
    -- The pool was made smaller by it, and gets its size back if it stays.
    add column shrinks boolean not null default false,
    -- The work that deletes it.
    add column work_request_id text;
