//! Uploads of the app, and the files that people attach: stored, found and completed.

use bytes::Bytes;
use uuid::Uuid;

use super::FakeSlack;
use super::file::{NewFile, PendingUpload, SlackFile};
use super::team::Team;

impl FakeSlack {
    /// Stores a file that a person shares in a channel of a team.
    pub(crate) fn store_file(&mut self, new: NewFile, user: &str, team: &str, channel: &str) -> SlackFile {
        let home = self.find_home_team(user).map_or(team, |home| &home.id);
        let mut file = self.new_file(&new.name, user, home, new.content.len());
        if !new.mimetype.is_empty() {
            file.mimetype = new.mimetype;
        }
        file.is_external = !self.is_same_organization(home, team);
        file.content = new.content;
        file.channel = Some(channel.to_owned());
        self.files.stored.insert(file.id.clone(), file.clone());
        file
    }

    /// Creates a file without content.
    pub(crate) fn new_file(&self, name: &str, user: &str, team: &str, size: usize) -> SlackFile {
        let unique = Uuid::new_v4().simple().to_string().to_uppercase();
        SlackFile {
            id: format!("F0{}", unique.get(..9).unwrap_or_default()),
            name: name.to_owned(),
            title: name.to_owned(),
            mimetype: mime_guess::from_path(name).first_or_octet_stream().to_string(),
            user: user.to_owned(),
            team: team.to_owned(),
            channel: None,
            created: chrono::Utc::now().timestamp(),
            base_url: self.base_url(),
            is_external: false,
            size,
            content: Bytes::new(),
        }
    }

    /// Finds a file that a tenant's bot may see: its own, or one of a channel that it is in.
    pub(crate) fn find_file(&self, tenant: &str, id: &str) -> Option<&SlackFile> {
        let file = self.files.stored.get(id)?;
        let bot = self.find_installation(tenant)?;
        let channel = file.channel.as_ref();
        let shows_it = |team: &Team| {
            let channel = channel.and_then(|channel| team.channels.get(channel));
            channel.is_some_and(|channel| channel.is_bot_member) && self.resolve_tenant(&team.id) == tenant
        };
        (file.user == bot.bot_user_id || self.teams.values().any(shows_it)).then_some(file)
    }

    /// Returns whether a file with this id exists, visible or not.
    pub(crate) fn has_file(&self, id: &str) -> bool {
        self.files.stored.contains_key(id)
    }

    /// Announces an upload by a tenant's bot; returns the file id and the upload URL.
    pub(crate) fn announce_upload(&mut self, tenant: &str, file: SlackFile) -> (String, String) {
        let id = file.id.clone();
        let secret = Uuid::new_v4().simple().to_string();
        let address = format!("{}/upload/v1/{secret}", self.base_url());
        self.files
            .uploads
            .insert(secret, PendingUpload { file, tenant: tenant.to_owned(), is_received: false });
        (id, address)
    }

    /// Receives an upload, which must have the announced size.
    pub(crate) fn receive_upload(&mut self, secret: &str, content: Bytes) -> Result<usize, &'static str> {
        let upload = self.files.uploads.get_mut(secret).ok_or("no such upload")?;
        if content.len() != upload.file.size {
            return Err("the length is another than was announced");
        }
        upload.is_received = true;
        upload.file.content = content;
        Ok(upload.file.size)
    }

    /// Completes a tenant's upload; `None` if it has not arrived. Without a channel it stays private.
    pub(crate) fn complete_upload(
        &mut self,
        tenant: &str,
        id: &str,
        title: Option<&str>,
        channel: Option<&str>,
    ) -> Option<SlackFile> {
        let is_it =
            |upload: &PendingUpload| upload.file.id == id && upload.tenant == tenant && upload.is_received;
        let secret = self.files.uploads.iter().find(|(_, upload)| is_it(upload))?.0.clone();
        let mut file = self.files.uploads.remove(&secret)?.file;
        file.channel = channel.map(str::to_owned);
        if let Some(title) = title {
            title.clone_into(&mut file.title);
        }
        self.files.stored.insert(file.id.clone(), file.clone());
        Some(file)
    }
}
