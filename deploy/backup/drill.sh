#!/bin/sh
# Proves that a backup can be restored: on a scratch cluster, which is removed at the end. See README.md.
#
#   drill.sh                      the newest backup of BACKUP_REMOTE
#   drill.sh enablebot-….json     that one
set -eu

: "${BACKUP_REMOTE:?where backups are, as rclone names it: remote:bucket/folder}"
: "${ENCRYPTION_KEYS:?the master keys; without them nothing of a backup opens}"
: "${WEB:=web}"
: "${PGBIN:=$(pg_config --bindir)}"
: "${SCRATCH_PORT:=54329}"

folder=$(mktemp -d)
chmod 755 "$folder"
failed=0
# initdb refuses root.
if [ "$(id -u)" = 0 ]; then as_owner() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }; else as_owner() { "$@"; }; fi
finish() {
    [ ! -f "$folder/cluster/postmaster.pid" ] || as_owner "$PGBIN/pg_ctl" --pgdata "$folder/cluster" --mode immediate stop >/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

# One line a check: its name, and what it found.
check() {
    if said=$("$2" 2>&1); then
        printf 'ok      %-22s %s\n' "$1" "$(printf '%s' "$said" | tail -n 1)"
    else
        printf 'FAILED  %-22s %s\n' "$1" "$said"
        failed=1
    fi
}
told() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" "$folder/backup.json"; }
ask() { psql "$url" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --command "$1"; }

rclone copyto "$BACKUP_REMOTE/${1:-latest.json}" "$folder/backup.json"
echo "the backup $(told dump), taken at $(told taken_at)"
rclone copyto "$BACKUP_REMOTE/$(told dump)" "$folder/backup.dump"
is_whole() {
    found=$(sha256sum "$folder/backup.dump" | cut -d ' ' -f 1)
    [ "$found" = "$(told sha256)" ] || { echo "its digest is $found, and was $(told sha256)"; return 1; }
    echo "$(wc -c <"$folder/backup.dump") bytes"
}
check "the dump is whole" is_whole

owner=$(told owner)
url="postgres://$owner@127.0.0.1:$SCRATCH_PORT/postgres"
mkdir "$folder/cluster"
[ "$(id -u)" != 0 ] || chown postgres "$folder/cluster"
as_owner "$PGBIN/initdb" --pgdata "$folder/cluster" --username "$owner" --auth trust --encoding UTF8 >/dev/null
as_owner "$PGBIN/pg_ctl" --pgdata "$folder/cluster" --wait --log /dev/null start \
    --options "-p $SCRATCH_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off" >/dev/null

restored() {
    # Roles are the cluster's, and no dump of a database holds them.
    ask "create role enablebot_tenant; create role enablebot_service;
         grant enablebot_tenant, enablebot_service to \"$owner\"" || return 1
    pg_restore --dbname "$url" --exit-on-error --single-transaction "$folder/backup.dump" || return 1
    echo "in $(ask "select count(*) from pg_class where relnamespace = 'enablebot'::regnamespace and relkind = 'r'") tables"
}
check "it restores" restored

has_all_rows() {
    ask "create temporary table backup (told jsonb);
         insert into backup values (\$json\$$(cat "$folder/backup.json")\$json\$);
         select format('%s has %s rows, and had %s', name, found, had)
         from backup, jsonb_each_text(told -> 'holds' -> 'counts') as counts (name, had),
              lateral (select (xpath('//count/text()', query_to_xml(format('select count(*) as count from enablebot.%I',
                  name), false, false, '')))[1]::text) as now (found)
         where found <> had" >"$folder/differences" || return 1
    cat "$folder/differences"
    [ ! -s "$folder/differences" ] || return 1
    echo "as many rows in each table as there were, $(ask "select count(*) from enablebot.events") of them events"
}
check "all rows are there" has_all_rows

is_guarded() {
    open=$(ask "select string_agg(relname, ', ') from pg_class c join pg_attribute a on attrelid = c.oid
                where relnamespace = 'enablebot'::regnamespace and relkind in ('r', 'p') and not relispartition
                  and attname = 'tenant_id' and not (relrowsecurity and relforcerowsecurity)") || return 1
    [ -z "$open" ] || { echo "no row-level security is forced on $open"; return 1; }
    echo "row-level security is forced on each table with a tenant"
}
check "tenants are apart" is_guarded

export DATABASE_URL="$url" DATABASE_DIRECT_URL="$url"
is_known() { "$WEB" migrate; }
opens() { "$WEB" keys verify; }
holds() { "$WEB" audit verify; }
check "the schema is known" is_known
check "what is sealed opens" opens
check "the chains hold" holds

[ "$failed" = 0 ] || { echo "This backup is not to be relied on." >&2; exit 1; }
echo "It can be restored."
