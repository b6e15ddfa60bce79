//! `web channels …`: access of external people to channels.

use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::AuditAction;
use models::{ChannelId, TenantId};
use serde_json::json;

use super::{run_query, unknown_tenant, write_audit_entry};

/// Commands of `web channels`.
#[derive(Debug, Subcommand)]
pub enum ChannelsCommand {
    /// Answer people of other organisations in a channel
    AllowExternal {
        /// Tenant, T… or E…
        tenant: String,
        /// Channel, C…
        channel: String,
    },
    /// Answer only the workspace's own people in a channel (the default)
    DenyExternal {
        /// Tenant, T… or E…
        tenant: String,
        /// Channel, C…
        channel: String,
    },
}

/// Runs the command.
pub fn run(command: ChannelsCommand) -> ExitCode {
    let (tenant, channel, allowed) = match command {
        ChannelsCommand::AllowExternal { tenant, channel } => (tenant, channel, true),
        ChannelsCommand::DenyExternal { tenant, channel } => (tenant, channel, false),
    };
    set_external_allowed(&TenantId::new(tenant), &ChannelId::new(channel), allowed)
}

fn set_external_allowed(tenant_id: &TenantId, channel_id: &ChannelId, allowed: bool) -> ExitCode {
    run_query(async |tx| {
        if !db::channels::set_external_allowed(tx, tenant_id, channel_id, allowed).await? {
            return Ok(unknown_tenant(tenant_id));
        }
        let detail = json!({ "channel_id": channel_id, "external_allowed": allowed });
        write_audit_entry(tx, tenant_id, AuditAction::ChannelSet, detail).await?;
        let change = if allowed { "now answered" } else { "no longer answered" };
        Ok(format!("People of other organisations are {change} in {channel_id} of {tenant_id}."))
    })
}
