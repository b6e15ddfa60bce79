-- What is old leaves the audit log at its oldest end only, and what stays can still be verified: the chain begins behind an
-- anchor then, the place and the digest of the last entry that was removed. A chain's head stays when all its entries are
-- gone: a tenant that comes back goes on behind them, and overwrites nothing in the archive.

alter table audit_chains
    add column retired_place bigint not null default 0,     -- the anchor; 0: nothing was removed
    add column retired_hash bytea not null default '',
    add column archived_place bigint not null default 0,    -- up to here all is in the archive
    add column archiving_place bigint;                      -- up to here goes the object that is being written

-- Not unique: who slips an entry in is to be found, not stopped half-way.
create index audit_log_place on audit_log (tenant_id, place);

-- The only way out. What is not as it was written stays, and all behind it: else the anchor would hide what was done.
create function retire_audit_entries(
    _tenant_id text, _older_than interval, _limit integer, out removed bigint, out last_place bigint
)
language plpgsql
as $$
declare
    _chain audit_chains;
    _entry audit_log;
begin
    -- Whoever may do no more than call this cannot take out what was done just now.
    if _older_than is null or _older_than < interval '1 day' then
        raise exception 'an entry of the audit log stays for a day at least';
    end if;
    select * into _chain from audit_chains where tenant_id = _tenant_id for update;
    removed := 0;
    last_place := coalesce(_chain.retired_place, 0);
    for _entry in
        select * from audit_log where tenant_id = _tenant_id order by place, entry_id limit _limit
    loop
        exit when _entry.created_at >= now() - _older_than
            or _entry.place <> last_place + 1
            or _entry.hash is distinct from audit_entry_hash(
                _chain.retired_hash, _tenant_id, _entry.place, _entry.actor, _entry.action, _entry.detail,
                _entry.created_at);
        delete from audit_log where entry_id = _entry.entry_id;
        removed := removed + 1;
        last_place := _entry.place;
        _chain.retired_hash := _entry.hash;
    end loop;
    update audit_chains set retired_place = last_place, retired_hash = _chain.retired_hash
        where tenant_id = _tenant_id and removed > 0;
end $$;

-- What the next object of the archive holds. It is noted before the object is written: whoever comes after a process that
-- died writes the same one again.
create function begin_audit_piece(
    _tenant_id text, _limit integer, out first_place bigint, out last_place bigint
)
language sql
as $$
    update audit_chains
        set archiving_place = case
            when archiving_place > greatest(archived_place, retired_place) then archiving_place
            else least(greatest(archived_place, retired_place) + greatest(_limit, 1), entry_count)
        end
        where tenant_id = _tenant_id and entry_count > greatest(archived_place, retired_place)
        returning greatest(archived_place, retired_place) + 1, archiving_place
$$;

-- Two that wrote the same object note it once.
create function end_audit_piece(_tenant_id text, _last_place bigint) returns void
language sql
as $$
    update audit_chains set archived_place = _last_place, archiving_place = null
        where tenant_id = _tenant_id and archiving_place = _last_place
$$;

-- They act as the owner of the tables, which nobody else may change, and so for any tenant: only what serves all calls them.
do $$
declare
    _function regprocedure;
begin
    foreach _function in array array['retire_audit_entries(text, interval, integer)', 'begin_audit_piece(text, integer)',
                                     'end_audit_piece(text, bigint)']::regprocedure[] loop
        execute format('alter function %s security definer set search_path = %I, pg_temp', _function, current_schema);
        execute format('revoke execute on function %s from public', _function);
        execute format('grant execute on function %s to enablebot_service', _function);
    end loop;
end $$;
