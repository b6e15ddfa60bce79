//! The direct message to a manager about an export of what people wrote.

use assistant::Standing;
use db::installations::StoredInstallation;
use models::{EventOutcome, UserId};

use super::onboarding::post_once;
use crate::job::context::JobContext;
use crate::job::error::JobError;

/// Tells a manager who exported whose conversations, by direct message, if they still are a manager.
pub(crate) async fn announce_export(
    context: &JobContext<'_>,
    installed: &StoredInstallation,
    exported_by: &UserId,
    person: Option<&UserId>,
) -> Result<EventOutcome, JobError> {
    let job = context.job;
    let response = context.slack.fetch_user(&context.bot, &job.user_id).await;
    let is_manager = match Standing::from_response(&installed.installation, response)? {
        Standing::Admin => true,
        Standing::Member => {
            db::managers::contains(&mut context.begin().await?, &job.tenant_id, &job.user_id).await?
        }
        _ => false,
    };
    if is_manager {
        post_once(context, None, &export_text(exported_by, person)).await?;
    }
    context.finish((EventOutcome::Done, None)).await
}

fn export_text(exported_by: &UserId, person: Option<&UserId>) -> String {
    let whose = match person {
        Some(person) => format!("the conversations of <@{person}> with me"),
        None => "all data of this workspace, with everybody's conversations with me".to_owned(),
    };
    format!(
        "<@{exported_by}> exported {whose} from my dashboard. You get this message because you manage me in \
         this workspace. The audit log has the details. To leave conversations out of exports, turn off *Show \
         conversations in the dashboard* in my dashboard, under Settings."
    )
}
