-- When the last backup was taken: deploy/backup/backup.sh notes each that is where it belongs, and `web doctor` looks.

create table backups (
    taken_at timestamptz primary key default now(),
    dump     text not null,
    bytes    bigint not null
);
