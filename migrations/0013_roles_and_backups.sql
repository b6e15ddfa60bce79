-- Functions that act as the owner of the tables are executable by those whom they serve alone: 0007 and 0008
-- grant theirs to enablebot_service. The trigger of the audit log serves nobody by name; a trigger needs no
-- right to fire.
do $$
declare
    _function regprocedure;
begin
    for _function in
        select oid::regprocedure from pg_proc where pronamespace = current_schema::regnamespace and prosecdef
    loop
        execute format('revoke execute on function %s from public', _function);
    end loop;
end $$;

-- How long a backup's file of data keys is kept. A deletion writes into its receipt until when such a file may
-- still open its data.
alter table backups add column keys_kept interval;
grant select (taken_at, keys_kept) on backups to enablebot_tenant;
