//! `web events …`: what became of what Slack sent. "Why no reply?"

use std::process::ExitCode;

use clap::Subcommand;
use db::ignored_events::Filter;
use models::TenantId;

use super::{ask, table, time};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
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
}

/// Runs the command.
pub fn run(command: Command) -> ExitCode {
    let Command::List { tenant, event, channel, since, limit } = command;
    let (tenant_id, filter) = (
        TenantId::new(tenant),
        Filter {
            event_id: event,
            channel_id: channel,
            last_seconds: since.map(|minutes| f64::from(minutes) * 60.0),
        },
    );
    ask(async |tx| {
        let fates = db::ignored_events::list_fates(tx, &tenant_id, &filter, limit.into()).await?;
        if fates.is_empty() {
            return Ok(format!(
                "No such event of {tenant_id}. What nothing is done about is kept for a week; what Slack never \
                 delivered is not known here."
            ));
        }
        let rows = fates.into_iter().map(|fate| {
            vec![
                Some(time(fate.received_at)),
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
