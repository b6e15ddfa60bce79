//! `web events …`: outcomes of Slack events ("why no reply?"), and retries of dead letters.

mod show;

use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::AuditAction;
use db::ignored_events::{EventFilter, EventSummary};
use db::{DbError, Tx};
use models::{EventId, TenantId};
use serde_json::json;

use crate::cli::{format_time, run_query, table, write_audit_entry};

/// Commands of `web events`.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List a tenant's newest events with outcome and reason
    List {
        /// Tenant, T… or E…
        tenant: String,
        /// Only this event, Ev…
        #[arg(long)]
        event: Option<String>,
        /// Only events of this channel, C… or D…
        #[arg(long)]
        channel: Option<String>,
        /// Only events of the last MINUTES minutes
        #[arg(long, value_name = "MINUTES")]
        since: Option<u32>,
        /// Maximum number of events
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show the timeline of an event: times, attempts, outcome, thread and reply; never the message text
    Show {
        /// Tenant, T… or E…
        tenant: String,
        /// Event, Ev…
        event: String,
    },
    /// Retry failed events from where they stopped
    Redrive {
        /// Tenant, T… or E…
        tenant: String,
        /// Only this event, Ev…
        #[arg(long, required_unless_present = "all", conflicts_with = "all")]
        event: Option<String>,
        /// All failed events of the tenant
        #[arg(long)]
        all: bool,
    },
    /// Drop a failed event for good, and delete its message text
    Discard {
        /// Tenant, T… or E…
        tenant: String,
        /// Event, Ev…
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
        let events = db::ignored_events::list_outcomes(tx, tenant_id, filter, limit.into()).await?;
        if events.is_empty() {
            return Ok(unknown_event(tenant_id));
        }
        let rows = events.into_iter().map(|event| {
            vec![
                Some(format_time(event.received_at)),
                Some(event.event_id),
                event.channel_id,
                event.user_id,
                Some(event.outcome.unwrap_or_else(|| "queued".into())),
                event.reason,
            ]
        });
        Ok(table(&["received at", "event", "channel", "user", "outcome", "reason"], rows).to_string())
    })
}

fn show(tenant_id: &TenantId, event_id: &EventId) -> ExitCode {
    run_query(async |tx| match db::event_timeline::find(tx, tenant_id, event_id).await? {
        Some(timeline) => Ok(show::describe_event(tenant_id, event_id, &timeline)),
        None => describe_ignored(tx, tenant_id, event_id).await,
    })
}

fn redrive(tenant_id: &TenantId, event_id: &EventId) -> ExitCode {
    run_query(async |tx| {
        if !db::dead_letters::redrive(tx, tenant_id, event_id).await? {
            return describe_not_dead_letter(tx, tenant_id, event_id).await;
        }
        write_audit_entry(tx, tenant_id, AuditAction::Redriven, json!({ "event_id": event_id })).await?;
        Ok(format!("{event_id} of {tenant_id} will be retried from where it stopped."))
    })
}

fn redrive_all(tenant_id: &TenantId) -> ExitCode {
    run_query(async |tx| {
        let count = db::dead_letters::redrive_all(tx, tenant_id).await?;
        if count == 0 {
            return Ok(format!("{tenant_id} has no failed events."));
        }
        write_audit_entry(tx, tenant_id, AuditAction::Redriven, json!({ "events": count })).await?;
        Ok(format!("{count} event(s) of {tenant_id} will be retried from where they stopped."))
    })
}

fn discard(tenant_id: &TenantId, event_id: &EventId) -> ExitCode {
    run_query(async |tx| {
        if !db::dead_letters::discard(tx, tenant_id, event_id).await? {
            return describe_not_dead_letter(tx, tenant_id, event_id).await;
        }
        write_audit_entry(tx, tenant_id, AuditAction::Discarded, json!({ "event_id": event_id })).await?;
        Ok(format!("{event_id} of {tenant_id} is dropped for good, and its message text is deleted."))
    })
}

/// Explains why an event cannot be redriven or discarded.
async fn describe_not_dead_letter(
    tx: &mut Tx,
    tenant_id: &TenantId,
    event_id: &EventId,
) -> Result<String, DbError> {
    let Some(timeline) = db::event_timeline::find(tx, tenant_id, event_id).await? else {
        return describe_ignored(tx, tenant_id, event_id).await;
    };
    let state = timeline.outcome.unwrap_or_else(|| "queued".to_owned());
    Ok(format!("{event_id} of {tenant_id} has not failed (it is {state}); nothing was changed."))
}

/// Describes an ignored event, or says that the event is unknown.
async fn describe_ignored(tx: &mut Tx, tenant_id: &TenantId, event_id: &EventId) -> Result<String, DbError> {
    let filter = EventFilter { event_id: Some(event_id.to_string()), ..EventFilter::default() };
    let event = db::ignored_events::list_outcomes(tx, tenant_id, &filter, 1).await?.pop();
    Ok(event.map_or_else(|| unknown_event(tenant_id), |event| describe_summary(&event)))
}

fn describe_summary(event: &EventSummary) -> String {
    format!(
        "{} was received at {} and needed no action: {} ({}).",
        event.event_id,
        format_time(event.received_at),
        event.outcome.as_deref().unwrap_or("–"),
        event.reason.as_deref().unwrap_or("–"),
    )
}

fn unknown_event(tenant_id: &TenantId) -> String {
    format!(
        "No such event of {tenant_id}. Ignored events are kept for a week; events that Slack never \
         delivered are unknown."
    )
}
