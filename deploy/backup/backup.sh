#!/bin/sh
# Backs up the database: a dump without data keys, the keys in a file of their own that is soon deleted, and a
# manifest with the row counts that a restore must have. See README.md.
set -eu

: "${DATABASE_DIRECT_URL:=${DATABASE_URL:?the database to back up}}"
: "${BACKUP_REMOTE:?where backups go, as an rclone remote: remote:bucket/folder}"
: "${BACKUP_KEEP:=30d}"
: "${BACKUP_KEYS_KEEP:=7d}"

# shellcheck source=connection.sh
. "$(dirname "$0")/connection.sh"
use_database "$DATABASE_DIRECT_URL"
unset DATABASE_DIRECT_URL DATABASE_URL

name=enablebot-$(date -u +%Y%m%dT%H%M%SZ)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The keys that the last backup had. Old dumps need those that a rotation has deleted since then.
fetch_last_keys() {
    : >"$folder/last.keys"
    found=$(rclone lsf "$BACKUP_REMOTE" --include latest.json) || [ $? = 3 ]
    [ -n "$found" ] || return 0
    rclone copyto "$BACKUP_REMOTE/latest.json" "$folder/latest.json"
    last=$(sed -n 's/.*"keys": *"\([^"]*\)".*/\1/p' "$folder/latest.json")
    [ -n "$last" ] || return 0
    if [ -z "$(rclone lsf "$BACKUP_REMOTE/keys" --include "${last#keys/}")" ]; then
        echo "$last is gone: dumps from before a rotation of keys can no longer be decrypted" >&2
        return 0
    fi
    rclone copyto "$BACKUP_REMOTE/$last" "$folder/last.keys"
}
fetch_last_keys

# Dump and counts share one snapshot: this transaction exports it and stays open until the dump is done.
mkfifo "$folder/sql"
psql "$database" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
    <"$folder/sql" >"$folder/output" &
psql_pid=$!
exec 3>"$folder/sql"
# A line of a file of keys is JSON: no character of it is a quote or a delimiter here.
cat >&3 <<SQL
create temporary table last_keys (line jsonb);
\\copy last_keys from '$folder/last.keys' with (format csv, quote e'\\x01', delimiter e'\\x02')
SQL
cat >&3 <<'SQL'
begin isolation level repeatable read read only;
set local idle_in_transaction_session_timeout = 0;
set local statement_timeout = 0;
select 'snapshot ' || pg_export_snapshot();
SQL
until grep -q '^snapshot ' "$folder/output"; do
    kill -0 "$psql_pid" 2>/dev/null || { echo "cannot read the database" >&2; exit 1; }
    sleep 0.1
done
snapshot=$(sed -n 's/^snapshot //p' "$folder/output")

echo "dumping …" >&2
pg_dump "$database" --snapshot="$snapshot" --schema=enablebot --exclude-table-data=enablebot.encryption_keys \
    --format=custom --compress=6 --file="$folder/$name.dump"

# All keys of today, and of the last backup those that a rotation has deleted. Keys of a tenant that was deleted
# do not get into this file, even if it was installed again.
cat >&3 <<SQL
\\copy (select jsonb_build_object('seen_at', now(), 'row', to_jsonb(k)) from enablebot.encryption_keys k union all select jsonb_set(line, '{row,retired_at}', coalesce(nullif(line #> '{row,retired_at}', 'null'), to_jsonb(now()))) from last_keys join enablebot.tenants t on t.tenant_id = line #>> '{row,tenant_id}' where (line ->> 'seen_at')::timestamptz > now() - interval '$BACKUP_KEEP' and (line #>> '{row,created_at}')::timestamptz >= t.created_at and not exists (select from enablebot.audit_log a where a.tenant_id = t.tenant_id and a.action = 'deleted' and a.created_at > (line #>> '{row,created_at}')::timestamptz) and line #>> '{row,key_id}' not in (select key_id::text from enablebot.encryption_keys)) to '$folder/$name.keys' with (format csv, quote e'\\x01', delimiter e'\\x02')
SQL

cat >&3 <<'SQL'
select 'manifest ' || jsonb_build_object(
    'taken_at', now(),
    'owner', (select nspowner::regrole::text from pg_namespace where nspname = 'enablebot'),
    'logins', (select coalesce(string_agg(distinct acl.grantee::regrole::text, ' '), '')
               from pg_namespace n, aclexplode(n.nspacl) as acl
               where nspname = 'enablebot' and acl.grantee not in
                   (0, nspowner, 'enablebot_tenant'::regrole, 'enablebot_service'::regrole)),
    'postgres', current_setting('server_version'),
    'migration', (select max(version) from enablebot._sqlx_migrations),
    'counts', (
        select jsonb_object_agg(relname, (xpath('//count/text()', query_to_xml(
            format('select count(*) as count from enablebot.%I', relname), false, false, '')))[1]::text::bigint)
        from pg_class
        where relnamespace = 'enablebot'::regnamespace and relkind in ('r', 'p') and not relispartition
          and relname <> 'encryption_keys'
    ))::text;
commit;
\quit
SQL
exec 3>&-
wait "$psql_pid"
manifest=$(sed -n 's/^manifest //p' "$folder/output")
digest=$(sha256sum "$folder/$name.dump" | cut -d ' ' -f 1)
keys_digest=$(sha256sum "$folder/$name.keys" | cut -d ' ' -f 1)
bytes=$(wc -c <"$folder/$name.dump")
printf '{"dump": "%s.dump", "sha256": "%s", "bytes": %s, "keys": "keys/%s.keys", "keys_sha256": "%s", "holds": %s}\n' \
    "$name" "$digest" "$bytes" "$name" "$keys_digest" "$manifest" >"$folder/$name.json"

# What was deleted by now, without names: replayed after a restore of any older backup.
psql "$database" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
    --command "select concat_ws(',', kind, digest, master_key_id, to_char(made_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))
               from enablebot.tombstones order by made_at" >"$folder/$name.tombstones"
rclone copyto "$folder/$name.tombstones" "$BACKUP_REMOTE/$name.tombstones"

# latest.json goes last: it must only name files that are there.
rclone copyto "$folder/$name.keys" "$BACKUP_REMOTE/keys/$name.keys"
rclone copyto "$folder/$name.dump" "$BACKUP_REMOTE/$name.dump"
rclone copyto "$folder/$name.json" "$BACKUP_REMOTE/$name.json"
rclone copyto "$folder/$name.json" "$BACKUP_REMOTE/latest.json"
# `web doctor` checks the age of the newest backup.
psql "$database" --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --command "insert into enablebot.backups (dump, bytes, keys_kept)
               values ('$name.dump', $bytes, '$BACKUP_KEYS_KEEP')"
# Never this backup, however short the time.
rclone delete --min-age "$BACKUP_KEYS_KEEP" --filter "- $name.keys" --filter '+ enablebot-*.keys' --filter '- *' \
    "$BACKUP_REMOTE/keys"
rclone delete --min-age "$BACKUP_KEEP" --filter "- $name.*" --filter '+ /enablebot-*' --filter '- *' "$BACKUP_REMOTE"
echo "$name: stored $bytes bytes in $BACKUP_REMOTE"
