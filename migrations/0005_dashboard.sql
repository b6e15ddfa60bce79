-- The dashboard: sign-ins, data exports and the overview page.

-- A sign-in. The cookie holds the value that the digest is made from.
create table sessions (
    session_digest bytea primary key,
    tenant_id      text not null references tenants on delete cascade,
    user_id        text not null,
    name           bytea not null,              -- encrypted with the tenant's data key
    email          bytea,                       -- encrypted; verified by Slack; an operator may be named by it
    is_admin       boolean not null,            -- as Slack said at checked_at
    checked_at     timestamptz not null default now(),
    created_at     timestamptz not null default now(),
    seen_at        timestamptz not null default now()
);

create index sessions_user on sessions (tenant_id, user_id);

-- Downloads of all data of a workspace, and their progress.
create table exports (
    export_id      uuid primary key,
    tenant_id      text not null references tenants on delete cascade,
    started_by     text not null,
    rows_total     bigint not null,             -- counted at the start
    rows_done      bigint not null default 0,
    started_at     timestamptz not null default now(),
    progress_at    timestamptz not null default now(), -- when rows_done was last updated
    finished_at    timestamptz,
    failure_reason text
);

create index exports_tenant on exports (tenant_id, started_at desc);

-- A value that changes whenever a question comes or ends or gets feedback. Called by db::overview.
create function overview_version(_tenant_id text, _user_id text)
returns text
language plpgsql stable
as $$
begin
    -- Two branches: a kept plan does not know whether a person is given.
    if _user_id is null then
        return concat_ws(' ',
            (select max(created_at) from usage where tenant_id = _tenant_id),
            (select max(created_at) from feedback where tenant_id = _tenant_id),
            (select count(*) from events where tenant_id = _tenant_id and outcome is null));
    end if;
    return concat_ws(' ',
        (select max(created_at) from usage where tenant_id = _tenant_id and user_id = _user_id),
        (select max(created_at) from feedback where tenant_id = _tenant_id and user_id = _user_id),
        (select count(*) from events where tenant_id = _tenant_id and outcome is null and user_id = _user_id));
end $$;

-- The overviews of many people in one call, and of the whole workspace, which is the person ''. Covers the
-- questions that ended in the last _seconds: totals, buckets of _step seconds, and the most frequent _reasons
-- for a missing reply. The people of a workspace open their pages at the same moments: one pass over the
-- questions serves them all, and a function keeps its plan. Called by db::overview.
create function dashboard_overview(_tenant_id text, _people text[], _seconds float8, _step float8, _reasons integer)
returns table (person text, overview json)
language plpgsql stable
as $$
#variable_conflict use_column
declare
    _since constant timestamptz := now() - make_interval(secs => _seconds);
    _width constant interval := make_interval(secs => _step);
begin
    return query
        with wanted as (
            select distinct person from unnest(_people) as people (person)
        ), asked as materialized (
            select user_id as person, u.* from usage u
            where tenant_id = _tenant_id and user_id = any(_people) and created_at > _since
            union all
            select '', u.* from usage u
            where '' = any(_people) and tenant_id = _tenant_id and created_at > _since
        ), waiting as (
            select person, count(*) as waiting
            from wanted join events on person in (user_id, '')
            where tenant_id = _tenant_id and outcome is null and kind = 'message'
            group by person
        ), judged as (
            select person, count(*) filter (where positive) as liked, count(*) filter (where not positive) as disliked
            from wanted join feedback on person in (user_id, '')
            where tenant_id = _tenant_id and created_at > _since
            group by person
        ), summed as (
            select person, count(*) filter (where outcome = 'answered') as answered,
                   count(*) filter (where outcome in ('set_aside', 'discarded')) as failed,
                   count(*) filter (where outcome in ('refused', 'suspended')) as refused,
                   count(*) filter (where outcome = 'stopped') as stopped,
                   count(distinct user_id) filter (where user_id not like 'key:%' and user_id <> 'forgotten') as people,
                   percentile_cont(array[0.5, 0.95]) within group (order by first_token_ms) as first_token_ms,
                   percentile_cont(array[0.5, 0.95]) within group (order by total_ms)
                       filter (where outcome = 'answered') as total_ms,
                   sum(prompt_tokens) as prompt_tokens, sum(completion_tokens) as completion_tokens,
                   sum(cost_micros) as cost_micros
            from asked group by person
        ), totals as (
            select person, json_build_object(
                'answered', coalesce(answered, 0), 'failed', coalesce(failed, 0), 'refused', coalesce(refused, 0),
                'stopped', coalesce(stopped, 0), 'waiting', coalesce(waiting, 0), 'people', coalesce(people, 0),
                'first_token_p50', first_token_ms[1] / 1000, 'first_token_p95', first_token_ms[2] / 1000,
                'total_p50', total_ms[1] / 1000, 'total_p95', total_ms[2] / 1000,
                'prompt_tokens', coalesce(prompt_tokens, 0), 'completion_tokens', coalesce(completion_tokens, 0),
                'cost_micros', coalesce(cost_micros, 0),
                'liked', coalesce(liked, 0), 'disliked', coalesce(disliked, 0)) as totals
            from wanted left join summed using (person) left join waiting using (person) left join judged using (person)
        ), counted as (
            select person, date_bin(_width, created_at, 'epoch') as begins_at,
                   count(*) filter (where outcome = 'answered') as answered,
                   count(*) filter (where outcome in ('set_aside', 'discarded')) as failed,
                   count(*) filter (where outcome in ('refused', 'suspended', 'stopped')) as refused,
                   percentile_cont(0.5) within group (order by first_token_ms) / 1000 as first_token_p50,
                   percentile_cont(0.5) within group (order by total_ms)
                       filter (where outcome = 'answered') / 1000 as total_p50,
                   sum(cost_micros) as cost_micros
            from asked group by 1, 2
        ), buckets as (
            -- Includes buckets without a question.
            select person, json_agg(json_build_object(
                'begins_at', begins_at, 'answered', coalesce(answered, 0), 'failed', coalesce(failed, 0),
                'refused', coalesce(refused, 0), 'first_token_p50', first_token_p50, 'total_p50', total_p50,
                'cost_micros', coalesce(cost_micros, 0)) order by begins_at) as buckets
            from wanted
            cross join generate_series(date_bin(_width, _since, 'epoch') + _width, now(), _width) as bars (begins_at)
            left join counted using (person, begins_at)
            group by person
        ), ranked as (
            select person, outcome, coalesce(reason, '') as reason, count(*) as count,
                   row_number() over (partition by person order by count(*) desc, outcome, coalesce(reason, '')) as rank
            from asked where outcome <> 'answered'
            group by 1, 2, 3
        ), reasons as (
            select person, json_agg(json_build_object('outcome', outcome, 'reason', reason, 'count', count)
                                     order by rank) as reasons
            from ranked where rank <= _reasons group by person
        )
        select person, json_build_object(
            'version', overview_version(_tenant_id, nullif(person, '')), 'totals', totals, 'buckets', buckets,
            'reasons', coalesce(reasons, '[]'))
        from totals join buckets using (person) left join reasons using (person);
end $$;
