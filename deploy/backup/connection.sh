# Sourced by backup.sh: connects psql and pg_dump to an address without showing its password to `ps`.

# Sets `database`, the address without its password, and PGPASSWORD. Unless the address has a sslmode or the
# server is near, its certificate is verified, as deploy/CONFIGURATION.md says of the services.
use_database() {
    case "$1" in
        *[?\&]password=*) echo "write the password before the @ of the address, not as a parameter" >&2; exit 1 ;;
    esac
    _scheme=${1%%://*}
    _rest=${1#*://}
    _authority=${_rest%%[/?]*}
    _behind=${_rest#"$_authority"}
    _hosts=${_authority##*@}
    _user=
    if [ "$_hosts" != "$_authority" ]; then
        _user=${_authority%@*}
        case "$_user" in
            *:*) PGPASSWORD=$(percent_decode "${_user#*:}"); export PGPASSWORD ;;
        esac
        _user=${_user%%:*}@
    fi
    # shellcheck disable=SC2034 # for the script that sources this
    database=$_scheme://$_user$_hosts$_behind
    case "$_behind" in
        *[?\&]sslmode=*) ;;
        *) is_near "$_hosts" || export PGSSLMODE=verify-full ;;
    esac
    # `system`: the authorities that this machine trusts; needs psql 16.
    [ -n "${PGSSLROOTCERT:-}" ] || PGSSLROOTCERT=${DATABASE_ROOT_CERT:-}
    [ -n "$PGSSLROOTCERT" ] || [ "${PGSSLMODE:-}" != verify-full ] || PGSSLROOTCERT=system
    if [ -n "$PGSSLROOTCERT" ]; then export PGSSLROOTCERT; else unset PGSSLROOTCERT; fi
}

percent_decode() {
    ENCODED=$1 LC_ALL=C awk 'BEGIN {
        text = ENVIRON["ENCODED"]
        while (match(text, /%[0-9A-Fa-f][0-9A-Fa-f]/)) {
            high = index("0123456789abcdef", tolower(substr(text, RSTART + 1, 1))) - 1
            low = index("0123456789abcdef", tolower(substr(text, RSTART + 2, 1))) - 1
            printf "%s%c", substr(text, 1, RSTART - 1), high * 16 + low
            text = substr(text, RSTART + 3)
        }
        printf "%s", text
    }'
}

# Returns whether all hosts are on this machine or in a private network.
is_near() {
    for _host in $(printf '%s' "$1" | tr ',' ' '); do
        _host=$(printf '%s' "$_host" | sed 's/:[0-9]*$//' | tr '[:upper:]' '[:lower:]')
        case "$_host" in
            '' | %2f* | '[::1]' | '[f'[cd]* | '[fe80:'*) ;;
            *[a-z]*.internal | *[a-z]*.svc | *[a-z]*.svc.cluster.local | *[a-z]*.localhost) ;;
            *[a-z]*.* | *.*[a-z]*) return 1 ;;
            127.*.*.* | 10.*.*.* | 192.168.*.* | 169.254.*.*) ;;
            172.1[6-9].*.* | 172.2[0-9].*.* | 172.3[01].*.*) ;;
            *.* | *:*) return 1 ;;
        esac
    done
}
