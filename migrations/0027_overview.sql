-- The dashboard's overviews of many people in one call. A workspace looks at its page in one moment, each of its people at their
-- own: in functions the plans are kept, and one walk over the questions of the time serves all of them.

create index feedback_time on feedback (tenant_id, created_at);
create index feedback_person on feedback (tenant_id, user_id, created_at);

-- Changes whenever a question comes or ends, or is judged. Called by db::overview::mark.
create function overview_mark(_tenant_id text, _user_id text)
returns text
language plpgsql stable
as $$
begin
    -- Two branches, one of which costs nothing: a kept plan does not know whether a person is asked for.
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

-- What became of the questions that ended in the last _seconds, in one number each, in pieces of _step seconds, and the most
-- frequent _reasons for which there was no answer: for each of these people, and for the workspace as a whole, which is the
-- person ''. Called by db::overview::list.
create function overviews(_tenant_id text, _people text[], _seconds float8, _step float8, _reasons integer)
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
                   percentile_cont(array[0.5, 0.95]) within group (order by first_word_ms) as first_word_ms,
                   percentile_cont(array[0.5, 0.95]) within group (order by answer_ms)
                       filter (where outcome = 'answered') as answer_ms,
                   sum(prompt_tokens) as prompt_tokens, sum(completion_tokens) as completion_tokens,
                   sum(cost_micros) as cost_micros
            from asked group by person
        ), totals as (
            select person, json_build_object(
                'answered', coalesce(answered, 0), 'failed', coalesce(failed, 0), 'refused', coalesce(refused, 0),
                'stopped', coalesce(stopped, 0), 'waiting', coalesce(waiting, 0), 'people', coalesce(people, 0),
                'first_word_p50', first_word_ms[1] / 1000, 'first_word_p95', first_word_ms[2] / 1000,
                'answer_p50', answer_ms[1] / 1000, 'answer_p95', answer_ms[2] / 1000,
                'prompt_tokens', coalesce(prompt_tokens, 0), 'completion_tokens', coalesce(completion_tokens, 0),
                'cost_micros', coalesce(cost_micros, 0),
                'liked', coalesce(liked, 0), 'disliked', coalesce(disliked, 0)) as totals
            from wanted left join summed using (person) left join waiting using (person) left join judged using (person)
        ), counted as (
            select person, date_bin(_width, created_at, 'epoch') as begins_at,
                   count(*) filter (where outcome = 'answered') as answered,
                   count(*) filter (where outcome in ('set_aside', 'discarded')) as failed,
                   count(*) filter (where outcome in ('refused', 'suspended', 'stopped')) as refused,
                   percentile_cont(0.5) within group (order by first_word_ms) / 1000 as first_word_p50,
                   percentile_cont(0.5) within group (order by answer_ms)
                       filter (where outcome = 'answered') / 1000 as answer_p50,
                   sum(cost_micros) as cost_micros
            from asked group by 1, 2
        ), buckets as (
            -- Those without a question too.
            select person, json_agg(json_build_object(
                'begins_at', begins_at, 'answered', coalesce(answered, 0), 'failed', coalesce(failed, 0),
                'refused', coalesce(refused, 0), 'first_word_p50', first_word_p50, 'answer_p50', answer_p50,
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
            'mark', overview_mark(_tenant_id, nullif(person, '')), 'totals', totals, 'buckets', buckets,
            'reasons', coalesce(reasons, '[]'))
        from totals join buckets using (person) left join reasons using (person);
end $$;
