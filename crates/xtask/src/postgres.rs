//! Finds Postgres' programs on this machine, and the user to run them as.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::system_packages::{self, SystemPackage};
use crate::workspace::{find_program, output};

/// The folder of Postgres' server programs.
#[derive(Clone, Debug)]
pub struct PostgresPrograms {
    folder: PathBuf,
}

impl PostgresPrograms {
    /// Finds the programs, or installs them.
    pub fn find_or_install() -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        system_packages::install(SystemPackage::Postgres)?;
        match Self::find() {
            Some(found) => Ok(found),
            None => bail!(
                "Postgres was installed, but its programs initdb, postgres and psql are in no known folder"
            ),
        }
    }

    /// Finds the programs where distributions, Homebrew and source builds put them.
    pub fn find() -> Option<Self> {
        let complete =
            |folder: &PathBuf| REQUIRED_PROGRAMS.iter().all(|program| folder.join(program).is_file());
        list_candidate_folders().into_iter().find(complete).map(|folder| Self { folder })
    }

    /// Returns the path of a program. Programs of other packages (`pgbench` on some systems) may be on PATH
    /// instead.
    pub fn path(&self, program: &str) -> PathBuf {
        let here = self.folder.join(program);
        if here.is_file() { here } else { find_program(program).unwrap_or(here) }
    }
}

const REQUIRED_PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];

fn list_candidate_folders() -> Vec<PathBuf> {
    let beside_path = find_program("postgres").and_then(|program| program.canonicalize().ok());
    let beside_path = beside_path.and_then(|program| program.parent().map(Path::to_owned));
    let named = output(Command::new("pg_config").arg("--bindir")).ok().map(|folder| folder.trim().into());
    let mut folders: Vec<PathBuf> = beside_path.into_iter().chain(named).collect();
    folders.extend(list_newest_first("/usr/lib/postgresql", "bin"));
    for prefix in ["/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"] {
        folders.extend(list_newest_first(&format!("{prefix}/opt"), "bin"));
        folders.push(Path::new(prefix).join("bin"));
    }
    folders.extend(["/usr/local/pgsql/bin".into(), "/usr/libexec/postgresql".into()]);
    folders
}

/// Lists `<parent>/<version>/<inner>`, highest version first. Of other entries only `postgresql@<version>`
/// counts.
fn list_newest_first(parent: &str, inner: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").unwrap_or(&name).parse().ok()?;
            Some((version, entry.path().join(inner)))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// The user that the server runs as when this process is root, since Postgres refuses to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerUser {
    /// The user's id.
    pub uid: u32,
    /// The id of the user's own group.
    pub gid: u32,
}

impl ServerUser {
    /// Returns none unless this process is root; else the user `postgres`, or `nobody` if there is none.
    pub fn find_required() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let nobody = Self { uid: 65534, gid: 65534 };
        Some(
            Self::find_by_name(&users, "postgres")
                .or_else(|| Self::find_by_name(&users, "nobody"))
                .unwrap_or(nobody),
        )
    }

    fn find_by_name(users: &str, name: &str) -> Option<Self> {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map_while(|field| field.parse().ok());
        Some(Self { uid: numbers.next()?, gid: numbers.next()? })
    }

    /// Returns whether this user can enter a folder.
    pub fn can_enter(self, folder: &Path) -> bool {
        let mut test = Command::new("sh");
        test.args(["-c", "cd \"$0\""]).arg(folder).current_dir("/").uid(self.uid).gid(self.gid);
        test.output().is_ok_and(|output| output.status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_read_from_password_file() {
        let users = "root:x:0:0::/root:/bin/bash\npostgres:x:103:107::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ServerUser::find_by_name(users, "postgres"), Some(ServerUser { uid: 103, gid: 107 }));
        assert_eq!(ServerUser::find_by_name(users, "nobody"), None);
    }
}
