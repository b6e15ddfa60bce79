#!/bin/sh
# Backs up the database: a dump, and a manifest with the row counts that a restore must have. See README.md.
set -eu

: "${DATABASE_DIRECT_URL:=${DATABASE_URL:?the database to back up}}"
: "${BACKUP_REMOTE:?where backups go, as an rclone remote: remote:bucket/folder}"
: "${BACKUP_KEEP:=30d}"

name=enablebot-$(date -u +%Y%m%dT%H%M%SZ)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Dump and counts share one snapshot: this transaction exports it and stays open until the dump is done.
mkfifo "$folder/sql"
psql "$DATABASE_DIRECT_URL" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
    <"$folder/sql" >"$folder/output" &
psql_pid=$!
exec 3>"$folder/sql"
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
pg_dump "$DATABASE_DIRECT_URL" --snapshot="$snapshot" --schema=enablebot --format=custom --compress=6 \
    --file="$folder/$name.dump"

cat >&3 <<'SQL'
select 'manifest ' || jsonb_build_object(
    'taken_at', now(),
    'owner', (select nspowner::regrole::text from pg_namespace where nspname = 'enablebot'),
    'postgres', current_setting('server_version'),
    'migration', (select max(version) from enablebot._sqlx_migrations),
    'counts', (
        select jsonb_object_agg(relname, (xpath('//count/text()', query_to_xml(
            format('select count(*) as count from enablebot.%I', relname), false, false, '')))[1]::text::bigint)
        from pg_class
        where relnamespace = 'enablebot'::regnamespace and relkind in ('r', 'p') and not relispartition
    ))::text;
commit;
\quit
SQL
exec 3>&-
wait "$psql_pid"
manifest=$(sed -n 's/^manifest //p' "$folder/output")
digest=$(sha256sum "$folder/$name.dump" | cut -d ' ' -f 1)
bytes=$(wc -c <"$folder/$name.dump")
printf '{"dump": "%s.dump", "sha256": "%s", "bytes": %s, "holds": %s}\n' "$name" "$digest" "$bytes" "$manifest" \
    >"$folder/$name.json"

# latest.json goes last: it must only name files that are there.
rclone copyto "$folder/$name.dump" "$BACKUP_REMOTE/$name.dump"
rclone copyto "$folder/$name.json" "$BACKUP_REMOTE/$name.json"
rclone copyto "$folder/$name.json" "$BACKUP_REMOTE/latest.json"
# `web doctor` checks the age of the newest backup.
psql "$DATABASE_DIRECT_URL" --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --command "insert into enablebot.backups (dump, bytes) values ('$name.dump', $bytes)"
rclone delete --min-age "$BACKUP_KEEP" --include 'enablebot-*' "$BACKUP_REMOTE"
echo "$name: stored $bytes bytes in $BACKUP_REMOTE"
