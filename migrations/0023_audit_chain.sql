-- Nobody changes the audit log unnoticed: each entry of a tenant has its place in a chain, and a digest over the digest
-- before it and all that it says. The head tells how long the chain is, so that its end cannot be cut off either. Whoever
-- can write to both tables can make a new chain; what the chain shows is that nobody who did less went unseen.

create table audit_chains (
    tenant_id   text primary key,
    entry_count bigint not null,
    hash        bytea not null                -- of the last entry
) with (fillfactor = 50);                     -- a head is written with each entry, and its page has room for that

-- An array of JSON says where each part ends, whatever is in it; a time is whole microseconds.
create function audit_entry_hash(
    _previous bytea, _tenant_id text, _place bigint, _actor text, _action text, _detail jsonb, _created_at timestamptz
)
returns bytea
language sql stable
as $$
    select sha256(_previous || convert_to(jsonb_build_array(
        _tenant_id, _place, _actor, _action, _detail::text, (extract(epoch from _created_at) * 1000000)::bigint
    )::text, 'UTF8'))
$$;

alter table audit_log add column place bigint, add column hash bytea;

do $$
declare
    _entry record;
    _tenant_id text;
    _place bigint;
    _hash bytea;
begin
    for _entry in select * from audit_log order by tenant_id, entry_id loop
        if _tenant_id is distinct from _entry.tenant_id then
            _tenant_id := _entry.tenant_id;
            _place := 0;
            _hash := '';
        end if;
        _place := _place + 1;
        _hash := audit_entry_hash(_hash, _tenant_id, _place, _entry.actor, _entry.action, _entry.detail,
                                  _entry.created_at);
        update audit_log set place = _place, hash = _hash where entry_id = _entry.entry_id;
    end loop;
end $$;

insert into audit_chains
select distinct on (tenant_id) tenant_id, place, hash from audit_log order by tenant_id, place desc;

alter table audit_log alter column place set not null, alter column hash set not null;

-- Entries of a tenant are chained one behind the other: the head is locked until the transaction ends, so the entry is
-- the last thing that a transaction writes (crates/README.md).
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
            returning c.entry_count, c.hash into new.place, new.hash;
        exit when found;
        insert into audit_chains values (new.tenant_id, 0, '') on conflict do nothing;
    end loop;
    return new;
end $$;

create trigger chain_audit_entry before insert on audit_log for each row execute function chain_audit_entry();
