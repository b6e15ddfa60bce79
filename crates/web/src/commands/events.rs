//! `web events …`: what became of what Slack sent ("why no reply?"), and what is done with what was set aside.

use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::AuditAction;
use db::ignored_events::{EventFilter, EventSummary};
use db::{DbError, Tx};
use models::{EventId, TenantId};
use serde_json::json;

use super::{event_show, format_time, run_query, table};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// The newest events of a tenant, answered or not, each with its outcome and why
    List {
        /// The tenant, T… or E…
        tenant: String,
        /// One event, Ev…
        #[arg(long)]
        event: Option<String>,
        /// Those of a channel, C… or D…
        #[arg(long)]
        channel: Option<String>,
        /// Those of the last so many minutes
        #[arg(long, value_name = "MINUTES")]
        since: Option<u32>,
        /// So many at most
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// The whole story of an event: times, tries, outcome, thread, reply; never the words
    Show {
        /// The tenant, T… or E…
        tenant: String,
        /// The event, Ev…
        event: String,
    },
    /// Try again what was set aside, from where it stopped
    Redrive {
        /// The tenant, T… or E…
        tenant: String,
        /// One event, Ev…
        #[arg(long, required_unless_present = "all_set_aside", conflicts_with = "all_set_aside")]
        event: Option<String>,
        /// All that the tenant has
        #[arg(long)]
        all_set_aside: bool,
    },
    /// Give up for good what was set aside; its words are dropped
    Discard {
        /// The tenant, T… or E…
        tenant: String,
        /// The event, Ev…
        event: String,
    },
}

/// Runs the command.
pub fn run(command: EventsCommand) -> ExitCode {
    match command {
        EventsCommand::List { tenant, event, channel, since, limit } => {
            let last_seconds = since.map(|minutes| f64::from(minutes) * 60.0);
            let filter =
                EventFilter { event_id: event, channel_id: channel, last_seconds, ..EventFilter::default() };
            list(&TenantId::new(tenant), &filter, limit)
        }
        EventsCommand::Show { tenant, event } => show(&TenantId::new(tenant), &EventId::new(event)),
        EventsCommand::Redrive { tenant, event: Some(event), .. } => {
            redrive(&TenantId::new(tenant), &EventId::new(event))
        }
        EventsCommand::Redrive { tenant, event: None, .. } => redrive_all(&TenantId::new(tenant)),
        EventsCommand::Discard { tenant, event } => discard(&TenantId::new(tenant), &EventId::new(event)),
    }
}

fn list(tenant_id: &TenantId, filter: &EventFilter, limit: u32) -> ExitCode {
    run_query(async |tx| {
        let fates = db::ignored_events::list_outcomes(tx, tenant_id, filter, limit.into()).await?;
        if fates.is_empty() {
            return Ok(unknown_event(tenant_id));
        }
        let rows = fates.into_iter().map(|fate| {
            vec![
                Some(format_time(fate.received_at)),
                Some(fate.event_id),
                fate.channel_id,
                fate.user_id,
                Some(fate.outcome.unwrap_or_else(|| "waits".into())),
                fate.reason,
            ]
        });
        Ok(table(&["received at", "event", "channel", "user", "outcome", "reason"], rows).to_string())
    })
}

fn show(tenant_id: &TenantId, event_id: &EventId) -> ExitCode {
    run_query(async |tx| match db::event_timeline::find(tx, tenant_id, event_id).await? {
        Some(story) => Ok(event_show::describe_event(tenant_id, event_id, &story)),
        None => describe_ignored(tx, tenant_id, event_id).await,
    })
}

fn redrive(tenant_id: &TenantId, event_id: &EventId) -> ExitCode {
    run_query(async |tx| {
        if !db::dead_letters::redrive(tx, tenant_id, event_id).await? {
            return describe_not_dead_letter(tx, tenant_id, event_id).await;
        }
        write_audit_entry(tx, tenant_id, AuditAction::Redriven, json!({ "event_id": event_id })).await?;
        Ok(format!("{event_id} of {tenant_id} is tried again, from where it stopped."))
    })
}

fn redrive_all(tenant_id: &TenantId) -> ExitCode {
    run_query(async |tx| {
        let count = db::dead_letters::redrive_all(tx, tenant_id).await?;
        if count == 0 {
            return Ok(format!("Nothing of {tenant_id} is set aside."));
        }
        write_audit_entry(tx, tenant_id, AuditAction::Redriven, json!({ "events": count })).await?;
        Ok(format!("{count} event(s) of {tenant_id} are tried again, from where they stopped."))
    })
}

fn discard(tenant_id: &TenantId, event_id: &EventId) -> ExitCode {
    run_query(async |tx| {
        if !db::dead_letters::discard(tx, tenant_id, event_id).await? {
            return describe_not_dead_letter(tx, tenant_id, event_id).await;
        }
        write_audit_entry(tx, tenant_id, AuditAction::Discarded, json!({ "event_id": event_id })).await?;
        Ok(format!("{event_id} of {tenant_id} is given up for good, and its words are dropped."))
    })
}

/// Says what an event is that was to be redriven or discarded, and is not set aside.
async fn describe_not_dead_letter(
    tx: &mut Tx,
    tenant_id: &TenantId,
    event_id: &EventId,
) -> Result<String, DbError> {
    let Some(story) = db::event_timeline::find(tx, tenant_id, event_id).await? else {
        return describe_ignored(tx, tenant_id, event_id).await;
    };
    let state = story.outcome.unwrap_or_else(|| "still to be done".to_owned());
    Ok(format!("{event_id} of {tenant_id} is not set aside, but {state}; nothing was changed."))
}

/// Nothing was to be done about the event, or nobody knows it.
async fn describe_ignored(tx: &mut Tx, tenant_id: &TenantId, event_id: &EventId) -> Result<String, DbError> {
    let filter = EventFilter { event_id: Some(event_id.to_string()), ..EventFilter::default() };
    let fate = db::ignored_events::list_outcomes(tx, tenant_id, &filter, 1).await?.pop();
    Ok(fate.map_or_else(|| unknown_event(tenant_id), |fate| describe_summary(&fate)))
}

fn describe_summary(fate: &EventSummary) -> String {
    format!(
        "{} came at {}, and nothing was to be done about it: {} ({}).",
        fate.event_id,
        format_time(fate.received_at),
        fate.outcome.as_deref().unwrap_or("–"),
        fate.reason.as_deref().unwrap_or("–"),
    )
}

fn unknown_event(tenant_id: &TenantId) -> String {
    format!(
        "No such event of {tenant_id}. What nothing is done about is kept for a week; what Slack never delivered is \
         not known here."
    )
}

async fn write_audit_entry(
    tx: &mut Tx,
    tenant_id: &TenantId,
    action: AuditAction,
    detail: serde_json::Value,
) -> Result<(), DbError> {
    db::audit_log::insert(tx, tenant_id, "operator", action, detail).await
}
