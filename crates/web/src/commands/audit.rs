//! `web audit …`: whether the audit log is as it was written, and its archive.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::AuditChain;
use models::TenantId;

use super::{archive, run_query_with_exit_code};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Look at each entry's digest; ends with 1 where an entry was changed, moved, slipped in or taken out
    Verify {
        /// One tenant, T… or E…; without it all of them
        #[arg(conflicts_with = "archive")]
        tenant: Option<String>,
        /// Look at files of the archive instead, each by itself and how they join one another, and the database if one is set
        #[arg(long, num_args = 1.., value_name = "FILE")]
        archive: Vec<PathBuf>,
    },
    /// Archive what is not archived yet, however new (AUDIT_ARCHIVE_BUCKET, SUPABASE_URL, SUPABASE_SERVICE_KEY). `web` does the
    /// same each day; what was killed goes on with the next run
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
            lines.push("Nothing is written in the audit log yet.".to_owned());
        }
        Ok((lines.join("\n"), code))
    })
}

fn describe_chain(chain: &AuditChain) -> String {
    let told = match (chain.broken, chain.entries) {
        (Some(broken), _) => format!("BROKEN: entry {} {}", broken.place, broken.fault.describe()),
        (None, 0) => "no entries".to_owned(),
        (None, entries) => format!("unbroken, {entries} entries"),
    };
    match chain.purged {
        0 => told,
        retired => format!("{told}, behind {retired} that were removed when they were old enough"),
    }
}
