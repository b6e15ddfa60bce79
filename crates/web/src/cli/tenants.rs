//! `web tenants …`: the workspaces that use EnableBot.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::AuditAction;
use db::tenant_rules::KeptRule;
use db::tenants::{DeletionReceipt, TenantState};
use models::TenantId;
use serde_json::json;

use super::{format_time, run_query, table, unknown_tenant, write_audit_entry};

/// Commands of `web tenants`.
#[derive(Debug, Subcommand)]
pub enum TenantsCommand {
    /// List all workspaces and organisations with their state and problems
    List,
    /// Print and verify the signed receipts of deletions (ENCRYPTION_KEYS)
    Receipts {
        /// Tenant, T… or E…
        tenant: String,
    },
    /// Set a tenant's share of the queue: weight 4 is served four times as often as weight 1
    Weight {
        /// Tenant, T… or E…
        tenant: String,
        /// From 1 (the default) to 100
        #[arg(value_parser = clap::value_parser!(i32).range(1..=100))]
        weight: i32,
    },
    /// Stop answering a tenant until it is resumed; its people are notified, and see the reason on their
    /// dashboard
    Suspend {
        /// Tenant, T… or E…
        tenant: String,
        /// Reason, in a few words
        reason: String,
    },
    /// Resume a suspended tenant
    Resume {
        /// Tenant, T… or E…
        tenant: String,
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
    }
}

fn list() -> ExitCode {
    run_query(async |tx| {
        let tenants = db::tenants::list(tx).await?;
        let kept = db::tenant_rules::list_kept(tx).await?;
        if tenants.is_empty() && kept.is_empty() {
            return Ok("No workspace has installed the bot yet.".to_owned());
        }
        let rows = tenants.into_iter().map(|tenant| {
            let problems = describe_problems(&tenant);
            vec![
                Some(tenant.tenant_id.to_string()),
                Some(tenant.name.clone()),
                Some(describe_state(&tenant)),
                tenant.installed_at.map(format_time),
                Some(tenant.weight.to_string()),
                Some(problems).filter(|lines| !lines.is_empty()),
            ]
        });
        let rows = rows.chain(kept.iter().map(describe_kept));
        Ok(table(&["tenant", "name", "state", "installed at", "weight", "problems"], rows).to_string())
    })
}

/// Describes a workspace that is gone, and that a new install would find suspended or with its weight.
fn describe_kept(rule: &KeptRule) -> Vec<Option<String>> {
    let state = format!("deleted at {}", format_time(rule.kept_at));
    let state = match &rule.suspended_reason {
        Some(reason) => format!("{state}, suspended: {reason}"),
        None => state,
    };
    vec![Some(rule.tenant_id.to_string()), None, Some(state), None, Some(rule.weight.to_string()), None]
}

fn describe_state(tenant: &TenantState) -> String {
    let state = match (&tenant.disabled_reason, tenant.delete_after, tenant.installed_at) {
        (Some(_), ..) => "disabled".to_owned(),
        (None, Some(at), _) => format!("uninstalled, to be deleted at {}", format_time(at)),
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
        lines.push(format!("token revoked ({reason}): reinstall"));
    }
    for scope in tenant.scopes.as_deref().map(slack::missing_scopes).unwrap_or_default() {
        lines.push(format!("missing scope {}: {}", scope.name, scope.impact));
    }
    if let Some(problem) = &tenant.problem {
        lines.push(format!("last Slack error: {problem}"));
    }
    lines.join("\n")
}

fn print_receipts(tenant_id: &TenantId) -> ExitCode {
    run_query(async |tx| {
        let receipts = db::tenants::list_receipts(tx, tenant_id).await?;
        if receipts.is_empty() {
            return Ok(format!("No deletion of {tenant_id} is recorded."));
        }
        Ok(receipts.iter().map(describe_receipt).collect::<Vec<_>>().join("\n\n"))
    })
}

fn describe_receipt(receipt: &DeletionReceipt) -> String {
    let verdict = match receipt.is_genuine {
        Some(true) => "Signature valid: this deployment wrote the receipt, and it was not changed.",
        Some(false) => "SIGNATURE INVALID: the receipt was changed, or another deployment wrote it.",
        None => "Signature not verifiable: its master key is no longer in ENCRYPTION_KEYS.",
    };
    let mut text = format!("{:#}", receipt.statement);
    let _ = write!(text, "\n{verdict}");
    text
}

fn set_weight(tenant_id: &TenantId, weight: i32) -> ExitCode {
    run_query(async |tx| {
        if !db::tenants::set_weight(tx, tenant_id, weight).await?
            && !db::tenant_rules::set_weight(tx, tenant_id, weight).await?
        {
            return Ok(unknown_tenant(tenant_id));
        }
        let detail = json!({ "weight": weight });
        write_audit_entry(tx, tenant_id, AuditAction::WeightSet, detail).await?;
        Ok(format!("{tenant_id} has weight {weight}, starting with its next message."))
    })
}

fn suspend(tenant_id: &TenantId, reason: &str) -> ExitCode {
    run_query(async |tx| {
        if !db::tenants::lock(tx, tenant_id).await? {
            return Ok(unknown_tenant(tenant_id));
        }
        if reason.is_empty() {
            return Ok("Nothing was changed: a reason is required, because people of the workspace see it."
                .to_owned());
        }
        if !db::tenants::suspend(tx, tenant_id, reason).await? {
            return Ok(format!("{tenant_id} is already suspended; nothing was changed."));
        }
        let detail = json!({ "reason": reason });
        write_audit_entry(tx, tenant_id, AuditAction::Suspended, detail).await?;
        Ok(format!("{tenant_id} is suspended. Its questions are not answered until it is resumed."))
    })
}

fn resume(tenant_id: &TenantId) -> ExitCode {
    run_query(async |tx| {
        let is_installed = db::tenants::lock(tx, tenant_id).await?;
        let is_resumed = match is_installed {
            true => db::tenants::resume(tx, tenant_id).await?,
            false => db::tenant_rules::resume(tx, tenant_id).await?,
        };
        if !is_installed && !is_resumed {
            return Ok(unknown_tenant(tenant_id));
        }
        if !is_resumed {
            return Ok(format!("{tenant_id} is not suspended; nothing was changed."));
        }
        write_audit_entry(tx, tenant_id, AuditAction::Resumed, json!({})).await?;
        Ok(format!("{tenant_id} is resumed. Its next message is answered."))
    })
}
