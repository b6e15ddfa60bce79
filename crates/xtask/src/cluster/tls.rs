//! TLS of a cluster, with a certificate authority of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Cluster;
use crate::postgres::ServerUser;
use crate::workspace;

/// A certificate that a new certificate authority has signed.
#[derive(Clone, Debug)]
pub struct SignedCertificate {
    /// The authority's certificate.
    pub root: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl SignedCertificate {
    /// Writes an authority, and a certificate for these names (`IP:127.0.0.1,DNS:localhost`), into a folder.
    pub fn create(folder: &Path, names: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let file = |name: &str| folder.join(name);
        let (root, root_key) = (file("root.crt"), file("root.key"));
        let (certificate, key, request) = (file("server.crt"), file("server.key"), file("server.csr"));
        let new_key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-subj", "/CN=Root of a test"]).args(new_key);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign"]).arg("-keyout").arg(&root_key);
        workspace::output(openssl.arg("-out").arg(&root))?;
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-subj", "/CN=server"]).args(&new_key[..3]).arg("-keyout").arg(&key);
        workspace::output(openssl.arg("-out").arg(&request))?;
        let extensions = file("extensions");
        fs::write(&extensions, format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={names}\n"))?;
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-req", "-sha256", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
        openssl.arg("-CA").arg(&root).arg("-CAkey").arg(&root_key).arg("-extfile").arg(&extensions);
        workspace::output(openssl.arg("-out").arg(&certificate))?;
        Ok(Self { root, certificate, key })
    }
}

impl Cluster {
    /// Turns TLS on, with this certificate. Postgres still accepts connections without it.
    pub fn enable_tls(&self, signed: &SignedCertificate) -> Result<()> {
        for (file, name) in [(&signed.certificate, "server.crt"), (&signed.key, "server.key")] {
            let copy = self.data.join(name);
            fs::copy(file, &copy)?;
            // Postgres refuses a key that others can read.
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600))?;
            if let Some(user) = ServerUser::find_required() {
                chown(&copy, Some(user.uid), Some(user.gid))?;
            }
        }
        self.set_tls(true)
    }

    /// Turns TLS on or off.
    pub fn set_tls(&self, is_on: bool) -> Result<()> {
        self.query_as("postgres", "postgres", &format!("alter system set ssl = {is_on}"))?;
        self.query_as("postgres", "postgres", "select pg_reload_conf()").map(drop)
    }
}
