//! Writes the rows of the activity. Encrypted columns are written through `db`; the other rows are written in
//! batches, with the times of the activity.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use crypto::{Binding, DataKey, KeyProvider, MasterKeys, WrappedKey};
use db::{Db, audit_log, chat_memory, installations, people, settings};
use models::{
    Affiliation, ChatMessage, EmployeeProfile, EventOutcome, EventPayload, InboundMessage, Installation,
    Person, Role, TenantId, ThreadKey, WorkspaceSettings,
};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use sqlx::{PgConnection, Row};

use crate::activity::{SeedQuestion, person};
use crate::sample_dialogs::{DEPARTMENTS, PLACES};
use crate::{DemoWorkspace, SeedError};

/// All scopes that the bot asks for (`slack::BOT_SCOPES`).
const SEED_SCOPES: &str = "app_mentions:read,assistant:write,channels:history,chat:write,commands,files:read,files:write,\
                      groups:history,im:history,im:write,mpim:history,users:read";

/// A writer for one workspace.
pub(crate) struct SeedWriter<'a> {
    db: &'a Db,
    connection: &'a mut PgConnection,
    workspace: &'a DemoWorkspace,
    tenant_id: TenantId,
    key: Arc<DataKey>,
}

/// Returns whether the workspace already has questions.
pub(crate) async fn has_questions(
    connection: &mut PgConnection,
    workspace: &DemoWorkspace,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from usage where tenant_id = $1)")
        .bind(workspace.tenant_id)
        .fetch_one(connection)
        .await
}

impl<'a> SeedWriter<'a> {
    /// Writes the installation, its settings and its people.
    pub(crate) async fn begin(
        db: &'a Db,
        connection: &'a mut PgConnection,
        master: &MasterKeys,
        workspace: &'a DemoWorkspace,
    ) -> Result<Self, SeedError> {
        let tenant_id = TenantId::from(workspace.tenant_id.to_owned());
        let (_, admin) = person(workspace, 0);
        let mut tx = db.begin(&tenant_id).await?;
        if installations::find(&mut tx, &tenant_id).await?.is_none() {
            let bot_user_id = format!("U0BOT{}", &workspace.tenant_id[1..]);
            let installation = Installation {
                tenant_id: tenant_id.clone(),
                team_id: Some(workspace.tenant_id.into()),
                enterprise_id: None,
                name: workspace.name.to_owned(),
                app_id: "A0ENABLEBOT".into(),
                bot_user_id: bot_user_id.into(),
                scopes: SEED_SCOPES.to_owned(),
                installed_by: admin.as_str().into(),
            };
            // The token is never used: the simulated Slack issues a new one when the bot is added there.
            installations::upsert(&mut tx, &installation, &"made-up".to_owned().into(), None).await?;
        }
        let workspace_settings = WorkspaceSettings {
            budget_micros: Some(20_000_000),
            has_conversation_access: true,
            ..WorkspaceSettings::default()
        };
        settings::set(&mut tx, &tenant_id, &workspace_settings, &admin).await?;
        for number in 0..workspace.people {
            let (name, user_id) = person(workspace, number);
            let profile = EmployeeProfile {
                department: DEPARTMENTS[number % DEPARTMENTS.len()].to_owned(),
                location: PLACES[number % PLACES.len()].to_owned(),
                ..EmployeeProfile::default()
            };
            let details = Person {
                affiliation: Affiliation::Member,
                name: name.to_owned(),
                is_admin: number == 0,
                profile,
            };
            people::upsert(&mut tx, &tenant_id, &user_id.as_str().into(), &details).await?;
        }
        tx.commit().await?;
        let key = current_key(connection, master, workspace).await?;
        Ok(Self { db, connection, workspace, tenant_id, key })
    }

    /// Writes questions with all rows that belong to them.
    pub(crate) async fn write(&mut self, questions: &[SeedQuestion]) -> Result<(), SeedError> {
        let first = self.reserve_seqs(questions.len()).await?;
        let seqs: Vec<i64> = (first..).take(questions.len()).collect();
        self.write_events(&seqs, questions).await?;
        self.write_usage(&seqs, questions).await?;
        self.write_feedback(&seqs, questions).await?;
        let mut tx = self.db.begin(&self.tenant_id).await?;
        for (seq, question) in seqs.iter().zip(questions) {
            if question.outcome != EventOutcome::Answered {
                continue;
            }
            let thread = ThreadKey {
                channel_id: question.channel_id.as_str().into(),
                thread_ts: question.thread_ts.as_str().into(),
            };
            let message = |role, text: &str| ChatMessage {
                role,
                user_id: question.user_id.as_str().into(),
                affiliation: Affiliation::Member,
                text: text.to_owned(),
            };
            let messages = [message(Role::User, question.text), message(Role::Assistant, question.answer)];
            chat_memory::insert(&mut tx, &self.tenant_id, &thread, *seq, &messages).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Reserves sequence numbers of the queue and returns the first.
    async fn reserve_seqs(&mut self, count: usize) -> Result<i64, SeedError> {
        let last: i64 = sqlx::query_scalar(
            "select setval(pg_get_serial_sequence('events', 'seq'),
                           nextval(pg_get_serial_sequence('events', 'seq')) + $1)",
        )
        .bind(i64::try_from(count)?)
        .fetch_one(&mut *self.connection)
        .await?;
        Ok(last - i64::try_from(count)?)
    }

    async fn write_events(&mut self, seqs: &[i64], questions: &[SeedQuestion]) -> Result<(), SeedError> {
        let bodies = questions.iter().map(|one| self.body(one)).collect::<Result<Vec<_>, _>>()?;
        sqlx::query(
            "with given as (
                 select * from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                                      $8::text[], $9::timestamptz[], $10::timestamptz[], $11::bytea[])
                     as g (seq, channel_id, thread_ts, message_ts, user_id, outcome, reason, asked_at, ended_at, body)
             ), queued as (
                 insert into events (seq, tenant_id, event_id, kind, channel_id, thread_ts, message_ts, user_id, body,
                                     attempts, reason, outcome, received_at, finished_at)
                 overriding system value
                 select seq, $1, 'EvDEMO' || seq, 'message', channel_id, thread_ts, message_ts, user_id, body,
                        1, reason, outcome, asked_at, ended_at
                 from given
             )
             insert into threads (tenant_id, channel_id, thread_ts, state, created_at, used_at)
             select $1, channel_id, thread_ts, 'idle', min(asked_at), max(ended_at)
             from given group by channel_id, thread_ts
             on conflict (tenant_id, channel_id, thread_ts) do update set used_at = excluded.used_at",
        )
        .bind(self.workspace.tenant_id)
        .bind(seqs)
        .bind(column(questions, |one| one.channel_id.clone()))
        .bind(column(questions, |one| one.thread_ts.clone()))
        .bind(column(questions, |one| one.message_ts.clone()))
        .bind(column(questions, |one| one.user_id.clone()))
        .bind(column(questions, |one| one.outcome.as_str()))
        .bind(column(questions, |one| one.reason))
        .bind(column(questions, |one| one.asked_at))
        .bind(column(questions, ended_at))
        .bind(bodies)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Returns the encrypted message of a dead letter, which can be redriven; other events have none.
    fn body(&self, question: &SeedQuestion) -> Result<Option<Vec<u8>>, SeedError> {
        if question.outcome != EventOutcome::DeadLettered {
            return Ok(None);
        }
        let message = EventPayload::Message(InboundMessage {
            text: question.text.to_owned(),
            user_team_id: Some(self.workspace.tenant_id.into()),
            team_id: None,
            is_dm: question.channel_id.starts_with('D'),
            is_ext_shared: false,
            files: Vec::new(),
        });
        let binding = Binding { table: "events", column: "body", tenant: self.workspace.tenant_id };
        Ok(Some(self.key.seal(binding, &serde_json::to_string(&message)?)?))
    }

    async fn write_usage(&mut self, seqs: &[i64], questions: &[SeedQuestion]) -> Result<(), SeedError> {
        sqlx::query(
            "insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, created_at, outcome,
                                reason, event_id, channel_id, thread_ts, asked_at, first_token_ms, total_ms,
                                cost_micros)
             select seq, $1, user_id, model, prompt_tokens, completion_tokens,
                    asked_at + total_ms * interval '1 millisecond', outcome, reason, 'EvDEMO' || seq, channel_id,
                    thread_ts, asked_at, first_token_ms, total_ms, cost_micros
             from unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
                         $9::text[], $10::text[], $11::timestamptz[], $12::integer[], $13::integer[], $14::bigint[])
                 as g (seq, user_id, model, prompt_tokens, completion_tokens, outcome, reason, channel_id, thread_ts,
                       asked_at, first_token_ms, total_ms, cost_micros)",
        )
        .bind(self.workspace.tenant_id)
        .bind(seqs)
        .bind(column(questions, |one| one.user_id.clone()))
        .bind(column(questions, |one| one.model))
        .bind(column(questions, |one| one.prompt_tokens))
        .bind(column(questions, |one| one.completion_tokens))
        .bind(column(questions, |one| one.outcome.as_str()))
        .bind(column(questions, |one| one.reason))
        .bind(column(questions, |one| one.channel_id.clone()))
        .bind(column(questions, |one| one.thread_ts.clone()))
        .bind(column(questions, |one| one.asked_at))
        .bind(column(questions, |one| one.first_token_ms))
        .bind(column(questions, |one| one.total_ms))
        .bind(column(questions, |one| one.cost_micros))
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Writes the feedback and the entries of the audit log.
    async fn write_feedback(&mut self, seqs: &[i64], questions: &[SeedQuestion]) -> Result<(), SeedError> {
        sqlx::query(
            "with given as (
                 select * from unnest($2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[])
                     as g (seq, user_id, outcome, liked, ended_at)
             ), judged as (
                 insert into feedback (tenant_id, event_id, user_id, positive, created_at)
                 select $1, 'EvDEMO' || seq, user_id, liked, ended_at + interval '20 seconds'
                 from given where liked is not null
             )
             insert into audit_log (tenant_id, actor, action, detail, created_at)
             select $1, user_id, outcome, jsonb_build_object('event_id', 'EvDEMO' || seq), ended_at
             from given where outcome in ('answered', 'set_aside') order by seq",
        )
        .bind(self.workspace.tenant_id)
        .bind(seqs)
        .bind(column(questions, |one| one.user_id.clone()))
        .bind(column(questions, |one| one.outcome.as_str()))
        .bind(column(questions, |one| one.liked))
        .bind(column(questions, ended_at))
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Writes the ignored events of the last week, and moves the timestamps of earlier rows into the past.
    pub(crate) async fn finish(self, random: &mut StdRng) -> Result<(), SeedError> {
        let Self { db, connection, workspace, tenant_id, .. } = self;
        sqlx::query(
            "update chat_memory t set created_at =
                 u.asked_at + case t.role when 'user' then 0 else u.total_ms end * interval '1 millisecond'
             from usage u where t.tenant_id = $1 and u.seq = t.seq",
        )
        .bind(workspace.tenant_id)
        .execute(&mut *connection)
        .await?;
        for table in ["tenants set created_at", "installations set installed_at"] {
            let sql = format!("update {table} = now() - interval '91 days' where tenant_id = $1");
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(workspace.tenant_id).execute(&mut *connection).await?;
        }
        sqlx::query(
            "insert into ignored_events (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason,
                                         received_at)
             select $1, 'EvIGN' || n, $3,
                    extract(epoch from now())::bigint - n * 1800 || '.' || lpad(n::text, 6, '0'), $4,
                    case n % 4 when 0 then 'from_bot' when 1 then 'unsupported' else 'not_addressed' end,
                    case n % 4 when 0 then 'a bot wrote it' when 1 then 'a message was edited'
                               else 'the bot was not mentioned' end,
                    now() - n * interval '30 minutes'
             from generate_series(1, $2) as n",
        )
        .bind(workspace.tenant_id)
        .bind(random.random_range(250..320))
        .bind(format!("C0GENERAL{}", workspace.id_suffix))
        .bind(person(workspace, 1).1)
        .execute(&mut *connection)
        .await?;
        let (_, admin) = person(workspace, 0);
        let mut tx = db.begin(&tenant_id).await?;
        let detail = json!({ "budget_micros": 20_000_000 });
        audit_log::insert(&mut tx, &tenant_id, &admin, audit_log::AuditAction::SettingsChanged, detail)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn current_key(
    connection: &mut PgConnection,
    master: &MasterKeys,
    workspace: &DemoWorkspace,
) -> Result<Arc<DataKey>, SeedError> {
    let row = sqlx::query(
        "select key_id, master_key_id, wrapped_key from encryption_keys
         where tenant_id = $1 and retired_at is null",
    )
    .bind(workspace.tenant_id)
    .fetch_one(connection)
    .await?;
    let stored = WrappedKey {
        id: row.try_get("key_id")?,
        master_key_id: row.try_get("master_key_id")?,
        wrapped: row.try_get("wrapped_key")?,
    };
    Ok(Arc::new(master.unwrap(workspace.tenant_id, &stored)?))
}

fn column<T>(questions: &[SeedQuestion], of: impl Fn(&SeedQuestion) -> T) -> Vec<T> {
    questions.iter().map(of).collect()
}

fn ended_at(question: &SeedQuestion) -> DateTime<Utc> {
    question.asked_at + TimeDelta::milliseconds(question.total_ms.into())
}
