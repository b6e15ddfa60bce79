#!/bin/sh
# Verifies that a backup can be restored, on a scratch cluster that is removed at the end. See README.md.
#
#   drill.sh                      the newest backup of BACKUP_REMOTE
#   drill.sh enablebot-….json     this backup, with the newest keys
set -eu

: "${BACKUP_REMOTE:?where backups are, as an rclone remote: remote:bucket/folder}"
: "${ENCRYPTION_KEYS:?the master keys, without which a backup cannot be decrypted}"
: "${WEB:=web}"
: "${PGBIN:=$(pg_config --bindir)}"
: "${SCRATCH_PORT:=54329}"

is_newest=yes
[ $# = 0 ] || is_newest=no
folder=$(mktemp -d)
chmod 755 "$folder"
failed=0
# initdb refuses to run as root.
if [ "$(id -u)" = 0 ]; then as_owner() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }; else as_owner() { "$@"; }; fi
finish() {
    [ ! -f "$folder/cluster/postmaster.pid" ] || as_owner "$PGBIN/pg_ctl" --pgdata "$folder/cluster" --mode immediate stop >/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

# Prints one line per check: its name and its result.
check() {
    if result=$("$2" 2>&1); then
        printf 'ok      %-22s %s\n' "$1" "$(printf '%s' "$result" | tail -n 1)"
    else
        printf 'FAILED  %-22s %s\n' "$1" "$result"
        failed=1
    fi
}
manifest_value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" "$folder/backup.json"; }
query() { psql "$url" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --command "$1"; }

rclone copyto "$BACKUP_REMOTE/${1:-latest.json}" "$folder/backup.json"
rclone copyto "$BACKUP_REMOTE/latest.json" "$folder/latest.json"
keys=$(sed -n 's/.*"keys": *"\([^"]*\)".*/\1/p' "$folder/latest.json")
echo "backup $(manifest_value dump), taken at $(manifest_value taken_at)"
rclone copyto "$BACKUP_REMOTE/$(manifest_value dump)" "$folder/backup.dump"
check_digest() {
    found=$(sha256sum "$folder/backup.dump" | cut -d ' ' -f 1)
    [ "$found" = "$(manifest_value sha256)" ] || { echo "the digest is $found, expected $(manifest_value sha256)"; return 1; }
    echo "$(wc -c <"$folder/backup.dump") bytes"
}
check "dump digest" check_digest

check_keys() {
    rclone copyto "$BACKUP_REMOTE/$keys" "$folder/backup.keys" || return 1
    expected=$(sed -n 's/.*"keys_sha256": *"\([^"]*\)".*/\1/p' "$folder/latest.json")
    found=$(sha256sum "$folder/backup.keys" | cut -d ' ' -f 1)
    [ "$found" = "$expected" ] || { echo "the digest of $keys is $found, expected $expected"; return 1; }
    echo "$keys"
}
check "data keys" check_keys

owner=$(manifest_value owner)
url="postgres://$owner@127.0.0.1:$SCRATCH_PORT/postgres"
mkdir "$folder/cluster"
[ "$(id -u)" != 0 ] || chown postgres "$folder/cluster"
as_owner "$PGBIN/initdb" --pgdata "$folder/cluster" --username "$owner" --auth trust --encoding UTF8 >/dev/null
as_owner "$PGBIN/pg_ctl" --pgdata "$folder/cluster" --wait --log /dev/null start \
    --options "-p $SCRATCH_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off" >/dev/null

restore() {
    # Roles belong to the cluster, so the dump does not contain them. It does contain what they may.
    for login in $(manifest_value logins); do
        query "create role $login" || return 1
    done
    query "create role enablebot_tenant; create role enablebot_service;
         grant enablebot_tenant, enablebot_service to \"$owner\"" || return 1
    pg_restore --dbname "$url" --exit-on-error --single-transaction "$folder/backup.dump" || return 1
    psql "$url" --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file "$(dirname "$0")/restore-keys.sql" \
        <"$folder/backup.keys" || return 1
    echo "in $(query "select count(*) from pg_class where relnamespace = 'enablebot'::regnamespace and relkind = 'r'") tables"
}
check "restore" restore

check_row_counts() {
    query "create temporary table backup (manifest jsonb);
         insert into backup values (\$json\$$(cat "$folder/backup.json")\$json\$);
         select format('%s has %s rows, expected %s', name, found, had)
         from backup, jsonb_each_text(manifest -> 'holds' -> 'counts') as counts (name, had),
              lateral (select (xpath('//count/text()', query_to_xml(format('select count(*) as count from enablebot.%I',
                  name), false, false, '')))[1]::text) as now (found)
         where found <> had" >"$folder/differences" || return 1
    cat "$folder/differences"
    [ ! -s "$folder/differences" ] || return 1
    echo "all row counts match, $(query "select count(*) from enablebot.events") of them events"
}
check "row counts" check_row_counts

check_row_security() {
    open=$(query "select string_agg(relname, ', ') from pg_class c join pg_attribute a on attrelid = c.oid
                where relnamespace = 'enablebot'::regnamespace and relkind in ('r', 'p') and not relispartition
                  and attname = 'tenant_id' and not (relrowsecurity and relforcerowsecurity)") || return 1
    [ -z "$open" ] || { echo "row-level security is not forced on $open"; return 1; }
    echo "row-level security is forced on every table with a tenant"
}
check "row-level security" check_row_security

export DATABASE_URL="$url" DATABASE_DIRECT_URL="$url"
check_schema() { "$WEB" migrate; }
# A tenant that was deleted after an older backup has no keys any more, and nothing can be decrypted.
check_encrypted_values() {
    without=$(query "select string_agg(tenant_id, ', ') from
        (select tenant_id from enablebot.installations except select tenant_id from enablebot.encryption_keys) as t") || return 1
    if [ -n "$without" ] && [ "$is_newest" = yes ]; then
        echo "there is no key of $without"
        return 1
    fi
    "$WEB" keys verify || return 1
    [ -z "$without" ] || echo "no keys, so deleted since then: $without"
}
check_audit_chains() { "$WEB" audit verify; }
check "schema" check_schema
check "encrypted values" check_encrypted_values
check "audit chains" check_audit_chains
# Every file has all tombstones up to then, so together they lack none.
check_tombstones() {
    rclone cat "$BACKUP_REMOTE" --include '/enablebot-*.tombstones' >"$folder/tombstones" || return 1
    "$WEB" tombstones import "$folder/tombstones"
}
check "tombstones" check_tombstones

[ "$failed" = 0 ] || { echo "This backup cannot be relied on." >&2; exit 1; }
echo "This backup can be restored."
