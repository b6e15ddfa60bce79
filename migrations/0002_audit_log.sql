-- What was done to a tenant, and who did it. There is no foreign key: the log outlives the tenant.

create table audit_log (
    entry_id    bigint generated always as identity primary key,
    tenant_id   text not null,
    actor       text not null,                -- a user id, or "enablebot"
    action      text not null,
    detail      jsonb not null default '{}',  -- ids and counts, never what people wrote
    created_at  timestamptz not null default now(),
    chain_index bigint not null,              -- its position in the tenant's chain, from 1
    hash        bytea not null                -- a digest of the entry and of the previous digest
);

create index audit_log_tenant on audit_log (tenant_id, entry_id desc);
-- Not unique: an entry that somebody slipped in must be found later, not rejected half-way.
create index audit_log_chain_index on audit_log (tenant_id, chain_index);
-- Installs and deletions, over all tenants.
create index audit_log_installs on audit_log (created_at) where action in ('installed', 'deleted');

-- The head of each tenant's chain. It makes changes to the audit log visible: each entry has an index in the
-- chain and a digest of the previous digest and of everything that the entry says. The head holds the length,
-- so the end of the chain cannot be cut off either. Somebody who can write to both tables can make a new
-- chain; the chain proves that nobody with fewer rights made an unseen change.
--
-- Old entries leave the log only at its oldest end, and the rest can still be verified: the chain then begins
-- behind an anchor, the index and the digest of the last purged entry. The head stays when all entries are
-- gone: a tenant that comes back continues behind them and overwrites nothing in the archive.
create table audit_chains (
    tenant_id       text primary key,
    entry_count     bigint not null,
    hash            bytea not null,           -- of the last entry
    purged_index    bigint not null default 0, -- the anchor; 0: nothing was purged
    purged_hash     bytea not null default '',
    archived_index  bigint not null default 0, -- the archive holds everything up to here
    archiving_index bigint                    -- the last entry of the object that is being written
) with (fillfactor = 50);                     -- the head is updated with each entry, and its page has room for that

-- A JSON array shows where each part ends, whatever the part contains. A time is whole microseconds.
create function audit_entry_hash(
    _previous bytea, _tenant_id text, _chain_index bigint, _actor text, _action text, _detail jsonb,
    _created_at timestamptz
)
returns bytea
language sql stable
as $$
    select sha256(_previous || convert_to(jsonb_build_array(
        _tenant_id, _chain_index, _actor, _action, _detail::text, (extract(epoch from _created_at) * 1000000)::bigint
    )::text, 'UTF8'))
$$;

-- Appends the new entry to its tenant's chain. The head is locked until the transaction ends, so the entry
-- must be the last thing that a transaction writes (crates/README.md).
create function chain_audit_entry() returns trigger
language plpgsql
as $$
begin
    loop
        update audit_chains c
            set entry_count = c.entry_count + 1,
                hash = audit_entry_hash(c.hash, new.tenant_id, c.entry_count + 1, new.actor, new.action, new.detail,
                                        new.created_at)
            where c.tenant_id = new.tenant_id
            returning c.entry_count, c.hash into new.chain_index, new.hash;
        exit when found;
        insert into audit_chains (tenant_id, entry_count, hash) values (new.tenant_id, 0, '') on conflict do nothing;
    end loop;
    return new;
end $$;

create trigger chain_audit_entry before insert on audit_log for each row execute function chain_audit_entry();

-- Deletes a tenant's oldest entries. This is the only way to delete entries. It stops at the first entry that
-- is not as it was written: otherwise the anchor would hide a change.
create function purge_audit_entries(
    _tenant_id text, _older_than interval, _limit integer, out removed bigint, out last_index bigint
)
language plpgsql
as $$
declare
    _chain audit_chains;
    _entry audit_log;
begin
    -- Somebody who may only call this function cannot delete what was done just now.
    if _older_than is null or _older_than < interval '1 day' then
        raise exception 'entries of the audit log are kept for at least one day';
    end if;
    select * into _chain from audit_chains where tenant_id = _tenant_id for update;
    removed := 0;
    last_index := coalesce(_chain.purged_index, 0);
    for _entry in
        select * from audit_log where tenant_id = _tenant_id order by chain_index, entry_id limit _limit
    loop
        exit when _entry.created_at >= now() - _older_than
            or _entry.chain_index <> last_index + 1
            or _entry.hash is distinct from audit_entry_hash(
                _chain.purged_hash, _tenant_id, _entry.chain_index, _entry.actor, _entry.action, _entry.detail,
                _entry.created_at);
        delete from audit_log where entry_id = _entry.entry_id;
        removed := removed + 1;
        last_index := _entry.chain_index;
        _chain.purged_hash := _entry.hash;
    end loop;
    update audit_chains set purged_index = last_index, purged_hash = _chain.purged_hash
        where tenant_id = _tenant_id and removed > 0;
end $$;

-- Chooses the entries of the next archive object. The choice is stored before the object is written: a
-- process that continues after a crash writes the same object again.
create function audit_segment_begin(
    _tenant_id text, _limit integer, out first_index bigint, out last_index bigint
)
language sql
as $$
    update audit_chains
        set archiving_index = case
            when archiving_index > greatest(archived_index, purged_index) then archiving_index
            else least(greatest(archived_index, purged_index) + greatest(_limit, 1), entry_count)
        end
        where tenant_id = _tenant_id and entry_count > greatest(archived_index, purged_index)
        returning greatest(archived_index, purged_index) + 1, archiving_index
$$;

-- Records that the object is in the archive. When two processes wrote the same object, only the first call
-- counts.
create function audit_segment_commit(_tenant_id text, _last_index bigint) returns void
language sql
as $$
    update audit_chains set archived_index = _last_index, archiving_index = null
        where tenant_id = _tenant_id and archiving_index = _last_index
$$;
