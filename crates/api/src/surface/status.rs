//! The workspace's status, for the command and the Home tab.

use db::installations::StoredInstallation;

use crate::job::context::JobContext;
use crate::job::error::JobError;

/// Returns the workspace's status, a line for each fact.
pub(super) async fn status_text(
    context: &JobContext<'_>,
    installed: &StoredInstallation,
) -> Result<String, JobError> {
    let tenant_id = &context.job.tenant_id;
    let mut tx = context.begin().await?;
    let pending = db::events::count_pending(&mut tx, tenant_id).await?;
    let open_channels = db::channels::list_external_allowed(&mut tx, tenant_id).await?;
    drop(tx);
    let installation = &installed.installation;
    let missing = slack::missing_scopes(&installation.scopes);
    let since = installed.installed_at.format("%-d %B %Y");
    let has_problem =
        installed.suspended_reason.is_some() || installed.problem.is_some() || !missing.is_empty();
    let health = if has_problem { "" } else { " Everything is working." };
    let mut lines = vec![format!("Installed in {} since {since}.{health}", installation.name)];
    if installed.suspended_reason.is_some() {
        lines.push(
            "⚠️ The operator of this server has suspended this workspace. I do not answer until they resume \
             it."
            .to_owned(),
        );
    }
    // The command itself is one of the pending events.
    lines.push(match pending - 1 {
        ..=0 => "No messages waiting.".to_owned(),
        1 => "One message is waiting.".to_owned(),
        more => format!("{more} messages are waiting."),
    });
    if !open_channels.is_empty() {
        let names: Vec<String> = open_channels.iter().map(|channel| format!("<#{channel}>")).collect();
        lines.push(format!("I answer people of other organisations in {}.", names.join(", ")));
    }
    for scope in &missing {
        lines.push(format!("⚠️ The scope `{}` is not granted: {}", scope.name, scope.impact));
    }
    if !missing.is_empty() {
        lines.push("Reinstall me to grant the missing scopes.".to_owned());
    }
    if let Some((problem, at)) = installed.problem.as_ref().zip(installed.problem_at) {
        let at = at.format("%-d %B, %H:%M UTC");
        lines.push(format!("⚠️ Slack last rejected a call of mine on {at}: `{problem}`"));
    }
    Ok(lines.join("\n"))
}
