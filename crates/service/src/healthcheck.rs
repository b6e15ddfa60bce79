//! The `health` command: the health check of a container image that has no shell.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::process::exit_with_error;
use crate::settings::SettingsError;

/// Shorter than the three seconds after which Docker and Kubernetes give up, so that the error is still
/// reported.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests `/health` on a port of loopback. Prints a failure to stderr.
pub fn run_healthcheck(port: Result<u16, SettingsError>) -> ExitCode {
    let port = match port {
        Ok(port) => port,
        Err(error) => return exit_with_error(&error.to_string()),
    };
    match fetch_status_line(port) {
        Ok(line) if line.split(' ').nth(1) == Some("200") => ExitCode::SUCCESS,
        Ok(line) => {
            exit_with_error(&format!("port {port} returned {line:?} for /health, expected status 200"))
        }
        Err(error) => exit_with_error(&format!("no response from /health on port {port}: {error}")),
    }
}

/// Returns the response's first line. HTTP/1.0 makes the server close the connection after the response.
fn fetch_status_line(port: u16) -> io::Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), HEALTHCHECK_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    stream.set_write_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(256)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Runs the command against a server that sends this response.
    fn healthcheck_exit(response: &'static [u8]) -> ExitCode {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /health HTTP/1.0\r\n"));
            stream.write_all(response).unwrap();
        });
        let code = run_healthcheck(Ok(port));
        server.join().unwrap();
        code
    }

    #[test]
    fn healthcheck_requires_status_200() {
        assert_eq!(healthcheck_exit(b"HTTP/1.0 200 OK\r\n\r\n{}"), ExitCode::SUCCESS);
        for response in [&b"HTTP/1.0 503 Service Unavailable\r\n\r\n"[..], b"", b"200"] {
            assert_eq!(healthcheck_exit(response), ExitCode::FAILURE);
        }
    }

    #[test]
    fn healthcheck_fails_without_listener() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert_eq!(run_healthcheck(Ok(free)), ExitCode::FAILURE);
        assert_eq!(run_healthcheck(Err(SettingsError(Vec::new()))), ExitCode::FAILURE);
    }
}
