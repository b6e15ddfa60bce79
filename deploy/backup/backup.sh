#!/bin/sh
# Backs the database up: a dump, and beside it what it must hold when it is restored. See README.md.
set -eu

: "${DATABASE_DIRECT_URL:=${DATABASE_URL:?names the database that is backed up}}"
: "${BACKUP_REMOTE:?where backups go, as rclone names it: remote:bucket/folder}"
: "${BACKUP_KEEP:=30d}"

name=enablebot-$(date -u +%Y%m%dT%H%M%SZ)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The counts are of the very moment of the dump: one transaction lends it its view, and stays until the dump is done.
mkfifo "$folder/ask"
psql "$DATABASE_DIRECT_URL" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
    <"$folder/ask" >"$folder/told" &
teller=$!
exec 3>"$folder/ask"
cat >&3 <<'SQL'
begin isolation level repeatable read read only;
set local idle_in_transaction_session_timeout = 0;
set local statement_timeout = 0;
select 'snapshot ' || pg_export_snapshot();
SQL
until grep -q '^snapshot ' "$folder/told"; do
    kill -0 "$teller" 2>/dev/null || { echo "the database does not let itself be read" >&2; exit 1; }
    sleep 0.1
done
snapshot=$(sed -n 's/^snapshot //p' "$folder/told")

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
wait "$teller"
manifest=$(sed -n 's/^manifest //p' "$folder/told")
digest=$(sha256sum "$folder/$name.dump" | cut -d ' ' -f 1)
bytes=$(wc -c <"$folder/$name.dump")
printf '{"dump": "%s.dump", "sha256": "%s", "bytes": %s, "holds": %s}\n' "$name" "$digest" "$bytes" "$manifest" \
    >"$folder/$name.json"

# What is found first is put last: it names only what is there.
rclone copyto "$folder/$name.dump" "$BACKUP_REMOTE/$name.dump"
rclone copyto "$folder/$name.json" "$BACKUP_REMOTE/$name.json"
rclone copyto "$folder/$name.json" "$BACKUP_REMOTE/latest.json"
# `web doctor` looks for that.
psql "$DATABASE_DIRECT_URL" --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --command "insert into enablebot.backups (dump, bytes) values ('$name.dump', $bytes)"
rclone delete --min-age "$BACKUP_KEEP" --include 'enablebot-*' "$BACKUP_REMOTE"
echo "$name: $bytes bytes are in $BACKUP_REMOTE"
