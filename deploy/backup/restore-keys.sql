-- Puts a file of data keys into a restored database, as the owner:
--     psql --file restore-keys.sql <enablebot-….keys
-- Keys of tenants that the database does not know are of no use.
create temporary table backup_keys (line jsonb);
\copy backup_keys from pstdin with (format csv, quote e'\x01', delimiter e'\x02')
insert into enablebot.encryption_keys
select k.* from backup_keys, jsonb_populate_record(null::enablebot.encryption_keys, line -> 'row') as k
where k.tenant_id in (select tenant_id from enablebot.tenants);
