//! `web tenants …`: who uses EnableBot, and what is set for them.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::AuditAction;
use db::tenants::{DeletionReceipt, TenantState};
use models::{ChannelId, TenantId};
use serde_json::json;

use super::{format_time, run_query, table};

/// What can be asked and set.
#[derive(Debug, Subcommand)]
pub enum TenantsCommand {
    /// Every workspace and organisation: its state, and what an admin there has to mend
    List,
    /// The signed receipts of a deletion, each checked (ENCRYPTION_KEYS)
    Receipts {
        /// The tenant, T… or E…
        tenant: String,
    },
    /// Answer people of other organisations in a channel
    OpenChannel {
        /// The tenant, T… or E…
        tenant: String,
        /// The channel, C…
        channel: String,
    },
    /// Give a tenant a share of the places in the queue: one of weight 4 is served four times as often as one of 1
    Weight {
        /// The tenant, T… or E…
        tenant: String,
        /// From 1, as everybody has, to 100
        #[arg(value_parser = clap::value_parser!(i32).range(1..=100))]
        weight: i32,
    },
    /// Answer none of a tenant's questions until it is resumed; its people are told, and read the reason on their dashboard
    Suspend {
        /// The tenant, T… or E…
        tenant: String,
        /// Why, in a few words
        reason: String,
    },
    /// Answer a tenant that was suspended again
    Resume {
        /// The tenant, T… or E…
        tenant: String,
    },
    /// Answer only the workspace's own people in a channel; so it is until a channel is opened
    CloseChannel {
        /// The tenant, T… or E…
        tenant: String,
        /// The channel, C…
        channel: String,
    },
}

/// Runs the command.
pub fn run(command: TenantsCommand) -> ExitCode {
    match command {
        TenantsCommand::List => list(),
        TenantsCommand::Receipts { tenant } => print_receipts(&TenantId::new(tenant)),
        TenantsCommand::Weight { tenant, weight } => set_weight(&TenantId::new(tenant), weight),
        TenantsCommand::Suspend { tenant, reason } => suspend(&TenantId::new(tenant), reason.trim()),
        TenantsCommand::Resume { tenant } => resume(&TenantId::new(tenant)),
        TenantsCommand::OpenChannel { tenant, channel } => {
            set_external_allowed(&TenantId::new(tenant), &ChannelId::new(channel), true)
        }
        TenantsCommand::CloseChannel { tenant, channel } => {
            set_external_allowed(&TenantId::new(tenant), &ChannelId::new(channel), false)
        }
    }
}

fn list() -> ExitCode {
    run_query(async |tx| {
        let tenants = db::tenants::list(tx).await?;
        if tenants.is_empty() {
            return Ok("Nobody has installed the bot yet.".to_owned());
        }
        let rows = tenants.into_iter().map(|tenant| {
            let to_mend = describe_problems(&tenant);
            vec![
                Some(tenant.tenant_id.to_string()),
                Some(tenant.name.clone()),
                Some(describe_state(&tenant)),
                tenant.installed_at.map(format_time),
                Some(tenant.weight.to_string()),
                Some(to_mend).filter(|lines| !lines.is_empty()),
            ]
        });
        Ok(table(&["tenant", "name", "state", "installed at", "weight", "to mend"], rows).to_string())
    })
}

fn describe_state(tenant: &TenantState) -> String {
    let state = match (&tenant.disabled_reason, tenant.delete_after, tenant.installed_at) {
        (Some(_), ..) => "disabled".to_owned(),
        (None, Some(at), _) => format!("uninstalled, deleted at {}", format_time(at)),
        (None, None, Some(_)) => "active".to_owned(),
        (None, None, None) => "not installed".to_owned(),
    };
    match &tenant.suspended_reason {
        Some(reason) => format!("{state}, suspended: {reason}"),
        None => state,
    }
}

fn describe_problems(tenant: &TenantState) -> String {
    let mut lines = Vec::new();
    if let Some(reason) = &tenant.disabled_reason {
        lines.push(format!("the token is dead ({reason}): install again"));
    }
    for scope in tenant.scopes.as_deref().map(slack::missing_scopes).unwrap_or_default() {
        lines.push(format!("scope {} is not granted: {}", scope.name, scope.impact));
    }
    if let Some(problem) = &tenant.problem {
        lines.push(format!("Slack last refused: {problem}"));
    }
    lines.join("\n")
}

fn print_receipts(tenant_id: &TenantId) -> ExitCode {
    run_query(async |tx| {
        let receipts = db::tenants::list_receipts(tx, tenant_id).await?;
        if receipts.is_empty() {
            return Ok(format!("Nothing of {tenant_id} was ever deleted."));
        }
        Ok(receipts.iter().map(describe_receipt).collect::<Vec<_>>().join("\n\n"))
    })
}

fn describe_receipt(receipt: &DeletionReceipt) -> String {
    let verdict = match receipt.is_genuine {
        Some(true) => "The signature is right: this deployment wrote it, and nobody changed it.",
        Some(false) => "THE SIGNATURE IS WRONG: the receipt was changed, or another deployment wrote it.",
        None => "The signature cannot be checked: its master key is no longer among the ENCRYPTION_KEYS.",
    };
    let mut text = format!("{:#}", receipt.statement);
    let _ = write!(text, "\n{verdict}");
    text
}

fn set_external_allowed(tenant_id: &TenantId, channel_id: &ChannelId, allowed: bool) -> ExitCode {
    run_query(async |tx| {
        if !db::channels::set_external_allowed(tx, tenant_id, channel_id, allowed).await? {
            return Ok(unknown_tenant(tenant_id));
        }
        let detail = json!({ "channel_id": channel_id, "external_allowed": allowed });
        db::audit_log::insert(tx, tenant_id, "operator", AuditAction::ChannelSet, detail).await?;
        let done = if allowed { "now answered" } else { "no longer answered" };
        Ok(format!("People of other organisations are {done} in {channel_id} of {tenant_id}."))
    })
}

fn set_weight(tenant_id: &TenantId, weight: i32) -> ExitCode {
    run_query(async |tx| {
        if !db::tenants::set_weight(tx, tenant_id, weight).await? {
            return Ok(unknown_tenant(tenant_id));
        }
        let detail = json!({ "weight": weight });
        db::audit_log::insert(tx, tenant_id, "operator", AuditAction::WeightSet, detail).await?;
        Ok(format!("{tenant_id} has weight {weight} from its next message on."))
    })
}

fn suspend(tenant_id: &TenantId, reason: &str) -> ExitCode {
    run_query(async |tx| {
        if !db::tenants::lock(tx, tenant_id).await? {
            return Ok(unknown_tenant(tenant_id));
        }
        if reason.is_empty() {
            return Ok(
                "Nothing was changed: people of the workspace read the reason, so there has to be one."
                    .to_owned(),
            );
        }
        if !db::tenants::suspend(tx, tenant_id, reason).await? {
            return Ok(format!("{tenant_id} is suspended already; nothing was changed."));
        }
        let detail = json!({ "reason": reason });
        db::audit_log::insert(tx, tenant_id, "operator", AuditAction::Suspended, detail).await?;
        Ok(format!("{tenant_id} is suspended: its questions end without an answer until it is resumed."))
    })
}

fn resume(tenant_id: &TenantId) -> ExitCode {
    run_query(async |tx| {
        if !db::tenants::lock(tx, tenant_id).await? {
            return Ok(unknown_tenant(tenant_id));
        }
        if !db::tenants::resume(tx, tenant_id).await? {
            return Ok(format!("{tenant_id} is not suspended; nothing was changed."));
        }
        db::audit_log::insert(tx, tenant_id, "operator", AuditAction::Resumed, json!({})).await?;
        Ok(format!("{tenant_id} is answered again from its next message on."))
    })
}

fn unknown_tenant(tenant_id: &TenantId) -> String {
    format!("There is no tenant {tenant_id}; `web tenants list` shows those there are.")
}
