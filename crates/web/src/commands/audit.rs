//! `web audit …`: whether the audit log is as it was written.

use std::process::ExitCode;

use clap::Subcommand;
use db::audit_log::Chain;
use models::TenantId;

use super::judge;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at each entry's digest; ends with 1 where an entry was changed, moved, slipped in or taken out
    Verify {
        /// One tenant, T… or E…; without it all of them
        tenant: Option<String>,
    },
}

/// Runs the command.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Verify { tenant } => verify(tenant.map(TenantId::new)),
    }
}

fn verify(tenant_id: Option<TenantId>) -> ExitCode {
    judge(async |tx| {
        let tenant_ids = match tenant_id {
            Some(tenant_id) => vec![tenant_id],
            None => db::audit_log::list_chained(tx).await?,
        };
        let (mut lines, mut code) = (Vec::new(), ExitCode::SUCCESS);
        for tenant_id in tenant_ids {
            let chain = db::audit_log::verify(tx, &tenant_id).await?;
            if chain.broken.is_some() {
                code = ExitCode::FAILURE;
            }
            lines.push(format!("{tenant_id}: {}", tell(&chain)));
        }
        if lines.is_empty() {
            lines.push("Nothing is written in the audit log yet.".to_owned());
        }
        Ok((lines.join("\n"), code))
    })
}

fn tell(chain: &Chain) -> String {
    match (chain.broken, chain.entries) {
        (Some(broken), _) => format!("BROKEN: entry {} {}", broken.place, broken.fault.in_words()),
        (None, 0) => "no entries".to_owned(),
        (None, entries) => format!("unbroken, {entries} entries"),
    }
}
