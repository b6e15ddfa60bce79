//! `web audit …`: verification and archiving of the audit log.

mod archive;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::AuditChain;
use models::TenantId;

use crate::cli::run_query_with_exit_code;

/// Commands of `web audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify the hash chain of the audit log; exits 1 if an entry was changed, moved, inserted or removed
    Verify {
        /// Only this tenant, T… or E…; by default all tenants
        #[arg(conflicts_with = "archive")]
        tenant: Option<String>,
        /// Verify these files of the archive instead: each by itself, as a chain, and against the database if
        /// one is set
        #[arg(long, num_args = 1.., value_name = "FILE")]
        archive: Vec<PathBuf>,
    },
    /// Archive all new entries now (AUDIT_ARCHIVE_BUCKET, SUPABASE_URL, SUPABASE_SERVICE_KEY). `web` does
    /// this daily; safe to interrupt, the next run resumes
    Archive,
}

/// Runs the command.
pub fn run(command: AuditCommand) -> ExitCode {
    match command {
        AuditCommand::Verify { archive, .. } if !archive.is_empty() => archive::verify(&archive),
        AuditCommand::Verify { tenant, .. } => verify(tenant.map(TenantId::new)),
        AuditCommand::Archive => archive::run(),
    }
}

fn verify(tenant_id: Option<TenantId>) -> ExitCode {
    run_query_with_exit_code(async |tx| {
        let tenant_ids = match tenant_id {
            Some(tenant_id) => vec![tenant_id],
            None => db::audit_log::list_chained_tenants(tx).await?,
        };
        let (mut lines, mut code) = (Vec::new(), ExitCode::SUCCESS);
        for tenant_id in tenant_ids {
            let chain = db::audit_log::verify(tx, &tenant_id).await?;
            if chain.broken.is_some() {
                code = ExitCode::FAILURE;
            }
            lines.push(format!("{tenant_id}: {}", describe_chain(&chain)));
        }
        if lines.is_empty() {
            lines.push("The audit log is empty.".to_owned());
        }
        Ok((lines.join("\n"), code))
    })
}

fn describe_chain(chain: &AuditChain) -> String {
    let state = match (chain.broken, chain.entries) {
        (Some(broken), _) => format!("BROKEN: entry {} {}", broken.chain_index, broken.fault.describe()),
        (None, 0) => "no entries".to_owned(),
        (None, entries) => format!("intact, {entries} entries"),
    };
    match chain.purged {
        0 => state,
        purged => format!("{state}, after {purged} purged ones"),
    }
}
