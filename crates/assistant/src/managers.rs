//! The people who manage a workspace, and notices to them.

use std::collections::HashSet;

use db::{Db, DbError};
use models::{Installation, UserId};
use slack::{BotAuth, MessageMetadata, NewMessage, SlackError};

use crate::standing::Standing;

/// Managers who get a notice. A large workspace may have many admins.
const MAX_NOTIFIED_MANAGERS: usize = 10;

/// Pages of the list of users that are searched for admins if none is known yet.
const MAX_SEARCHED_PAGES: usize = 10;

/// Sends a direct message to each manager of a workspace. A failure is logged.
pub async fn notify_managers(
    db: &Db,
    slack: &slack::Client,
    bot: &BotAuth,
    installation: &Installation,
    text: &str,
    metadata: &MessageMetadata,
) {
    match list_managers(db, slack, bot, installation).await {
        Ok(managers) if managers.is_empty() => tracing::warn!("no manager to notify"),
        Ok(managers) => notify_people(slack, bot, &managers, text, metadata).await,
        Err(error) => tracing::warn!(error = %error, "managers not notified"),
    }
}

/// Sends a direct message to each of these people. A failure is logged.
pub async fn notify_people(
    slack: &slack::Client,
    bot: &BotAuth,
    people: &[UserId],
    text: &str,
    metadata: &MessageMetadata,
) {
    for user_id in people {
        if let Err(error) = send_direct_message(slack, bot, user_id, text, metadata).await {
            tracing::warn!(error = %error, "notice to a manager failed");
        }
    }
}

/// Lists the people who manage the workspace now: the named managers, and those whom Slack calls an admin or
/// owner. Slack is asked about each; if none is known, its list of users is searched.
async fn list_managers(
    db: &Db,
    slack: &slack::Client,
    bot: &BotAuth,
    installation: &Installation,
) -> Result<Vec<UserId>, DbError> {
    let tenant_id = &installation.tenant_id;
    let mut tx = db.begin(tenant_id).await?;
    let named = db::managers::list(&mut tx, tenant_id).await?;
    let candidates = db::managers::list_candidates(&mut tx, tenant_id).await?;
    drop(tx);
    let named: HashSet<UserId> = named.into_iter().map(|manager| manager.user_id).collect();
    let mut managers = Vec::new();
    for user_id in candidates {
        if managers.len() == MAX_NOTIFIED_MANAGERS {
            break;
        }
        let response = slack.fetch_user(bot, &user_id).await;
        match Standing::from_response(installation, response) {
            Ok(Standing::Admin) => managers.push(user_id),
            Ok(Standing::Member) if named.contains(&user_id) => managers.push(user_id),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "manager not confirmed"),
        }
    }
    if managers.is_empty() {
        managers = search_admins(slack, bot, installation).await;
    }
    Ok(managers)
}

/// Searches the workspace's users for admins. Returns those of the first page that has any.
async fn search_admins(slack: &slack::Client, bot: &BotAuth, installation: &Installation) -> Vec<UserId> {
    let mut cursor = None;
    for _ in 0..MAX_SEARCHED_PAGES {
        let (users, next) = match slack.list_users(bot, cursor.as_deref()).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(error = %error, "admins not found");
                break;
            }
        };
        let ids = users
            .into_iter()
            .map(|user| (user.user_id.clone(), Standing::from_response(installation, Ok(user))));
        let admins = ids.filter(|(_, standing)| matches!(standing, Ok(Standing::Admin)));
        let admins: Vec<UserId> = admins.map(|(user_id, _)| user_id).take(MAX_NOTIFIED_MANAGERS).collect();
        cursor = next;
        if !admins.is_empty() || cursor.is_none() {
            return admins;
        }
    }
    Vec::new()
}

async fn send_direct_message(
    slack: &slack::Client,
    bot: &BotAuth,
    user_id: &UserId,
    text: &str,
    metadata: &MessageMetadata,
) -> Result<(), SlackError> {
    let dm = slack.open_dm(bot, user_id).await?;
    let message = NewMessage { channel_id: &dm, thread_ts: None, markdown: text, metadata, buttons: None };
    slack.post_message(bot, &message).await.map(drop)
}
