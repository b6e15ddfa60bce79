-- Whoever keeps what a workspace is and how it wants its bot hears of every change, as it is committed: also of one that is
-- made by hand, and of none that is not committed.

create function tell_change() returns trigger
language plpgsql
as $$
begin
    perform pg_notify('enablebot_changes', coalesce(new.tenant_id, old.tenant_id));
    return null;
end $$;

create trigger tell_change after insert or update or delete on tenants for each row execute function tell_change();
create trigger tell_change after insert or update or delete on installations
    for each row execute function tell_change();
-- That somebody was told of the budget is nothing that is kept.
create trigger tell_change after insert or delete or update of body, model_key on settings
    for each row execute function tell_change();
