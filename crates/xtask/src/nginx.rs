//! An nginx with the files of `deploy/nginx`, on its own ports and with its own certificate.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::child_process::Signal;
use crate::cluster::free_port;
use crate::system_packages::{self, SystemPackage};
use crate::{child_process, workspace};

const NGINX_TIMEOUT: Duration = Duration::from_secs(10);

/// Validity of a certificate.
const CERTIFICATE_DAYS: u32 = 90;

/// The host name in the files.
pub const HOST: &str = "bot.example.com";

/// A running nginx. Dropping it ends it.
#[derive(Debug)]
pub struct Nginx {
    folder: PathBuf,
    /// The port for https.
    pub tls_port: u16,
    /// The port that redirects http to https.
    pub redirect_port: u16,
    /// A plain-http port with the content of https: the simulated Slack does not know the certificate.
    pub plain_port: u16,
    process: Option<Child>,
}

impl Nginx {
    /// Writes the files around `file` for replicas at these ports, and lets nginx check them.
    pub fn write_config(file: &str, api: &[u16], web: &[u16]) -> Result<Self> {
        let program = system_packages::find_or_install(SystemPackage::Nginx)?;
        let name = format!("test/nginx-{}-{}", std::process::id(), free_port()?);
        let folder = workspace::target().join(name);
        let files = folder.join("enablebot");
        fs::create_dir_all(&files)?;
        let nginx = Self {
            folder,
            tls_port: free_port()?,
            redirect_port: free_port()?,
            plain_port: free_port()?,
            process: None,
        };
        for entry in fs::read_dir(workspace::root().join("deploy/nginx"))? {
            let entry = entry?;
            let text = nginx.adapt_config(fs::read_to_string(entry.path())?, api, web);
            fs::write(files.join(entry.file_name()), text)?;
        }
        nginx.make_certificate(CERTIFICATE_DAYS)?;
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.map(|kind| format!("{kind}_temp_path tmp_{kind};\n")).concat();
        let main = format!(
            "daemon off;\npid nginx.pid;\nerror_log error.log warn;\nevents {{ worker_connections 1024; }}\n\
             http {{\naccess_log off;\n{temporary}include enablebot/{file};\n}}\n"
        );
        fs::write(nginx.folder.join("nginx.conf"), main)?;
        workspace::output(nginx.with_config(Command::new(&program)).arg("-t"))?;
        Ok(nginx)
    }

    /// Starts nginx and waits until it accepts connections.
    pub fn start(mut self) -> Result<Self> {
        let program = system_packages::find_or_install(SystemPackage::Nginx)?;
        let mut command = self.with_config(child_process::with_parent_death_signal(&program, "TERM"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(child_process::spawn(command).context("cannot start nginx")?);
        let until = Instant::now() + NGINX_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.tls_port)).is_err() {
            if Instant::now() > until {
                let log = fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
                bail!("nginx did not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(self)
    }

    /// Returns its certificate as PEM.
    pub fn certificate(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.certificate_file())?)
    }

    /// Returns the path of its certificate.
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.join("enablebot/fullchain.pem")
    }

    /// Installs another certificate that is valid for this many days; 0 means that it has already expired.
    pub fn renew_certificate(&self, days: u32) -> Result<()> {
        self.make_certificate(days)?;
        workspace::output(
            self.with_config(Command::new(system_packages::find_or_install(SystemPackage::Nginx)?))
                .args(["-s", "reload"]),
        )
        .map(drop)
    }

    /// Returns the path of one of the files.
    pub fn config_file(&self, name: &str) -> PathBuf {
        self.folder.join("enablebot").join(name)
    }

    /// Returns its error log.
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    fn with_config(&self, mut command: Command) -> Command {
        command.arg("-p").arg(&self.folder).args(["-c", "nginx.conf", "-e", "error.log"]);
        command
    }

    /// Replaces ports, replicas and the certificate's path in a file, and nothing else.
    fn adapt_config(&self, mut text: String, api: &[u16], web: &[u16]) -> String {
        for (name, port, ports) in [("api", 8001, api), ("web", 8000, web)] {
            for (number, own) in (1..).zip(ports) {
                text = text.replace(&format!("{name}{number}:{port}"), &format!("127.0.0.1:{own}"));
            }
        }
        let place = self.folder.join("enablebot");
        text.replace("/etc/nginx/enablebot", &place.to_string_lossy())
            .replace("listen 80;", &format!("listen 127.0.0.1:{};", self.redirect_port))
            .replace(
                "listen 443 ssl;",
                &format!("listen 127.0.0.1:{} ssl; listen 127.0.0.1:{};", self.tls_port, self.plain_port),
            )
    }

    fn make_certificate(&self, days: u32) -> Result<()> {
        let file = |name| self.folder.join("enablebot").join(name);
        let (key, request, extensions) = (file("privkey.pem"), file("request.pem"), file("extensions"));
        let names = format!("DNS:{HOST},DNS:api.{HOST},DNS:localhost");
        fs::write(&extensions, format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={names}\n"))?;
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", &format!("/CN={HOST}")]);
        workspace::output(openssl.arg("-keyout").arg(&key).arg("-out").arg(&request))?;
        // `req -x509` cannot create an expired certificate.
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-req", "-sha256", "-days", &days.to_string(), "-in"]).arg(&request);
        openssl.arg("-signkey").arg(&key).arg("-extfile").arg(&extensions).arg("-out");
        workspace::output(openssl.arg(file("fullchain.pem"))).map(drop)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // If nginx were killed, its workers would keep running.
            let _ = child_process::stop(process, Signal::TERM, NGINX_TIMEOUT);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
