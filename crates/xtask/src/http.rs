//! A small HTTP client: enough to check whether a service on loopback is ready, and to install the bot.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

const HTTP_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A service's response.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The headers in order, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl HttpResponse {
    /// Returns a header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a header that may be repeated.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request to 127.0.0.1. HTTP/1.0 makes sure that the response is not chunked and ends with the
/// connection.
pub fn send_request(
    port: u16,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<HttpResponse> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(HTTP_READ_TIMEOUT))?;
    let mut request = format!("{method} {target} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse_response(&String::from_utf8_lossy(&bytes))
        .with_context(|| format!("no HTTP response from port {port}"))
}

/// Returns whether a GET is answered with 200.
pub fn is_ok(port: u16, path: &str) -> bool {
    send_request(port, "GET", path, &[], "").is_ok_and(|answer| answer.status == 200)
}

fn parse_response(text: &str) -> Option<HttpResponse> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    Some(HttpResponse { status, headers, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_parsed() {
        let text = "HTTP/1.0 302 Found\r\nLocation: /x\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\nbye";
        let answer = parse_response(text).expect("an answer");
        assert_eq!(
            (answer.status, answer.header("location"), answer.body.as_str()),
            (302, Some("/x"), "bye")
        );
        assert_eq!(answer.header_values("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    }
}
