//! Posts prepared requests over many keep-alive connections. It uses raw TCP, so that the generator takes
//! little of the machine that it measures.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The result of a load.
#[derive(Default)]
pub(super) struct LoadResult {
    /// Responses with 200.
    pub(super) accepted: usize,
    /// Responses with any other status.
    pub(super) rejected: usize,
    /// The time from the first request to the last response.
    pub(super) elapsed: Duration,
    /// The latency of each response, sorted.
    pub(super) latencies: Vec<Duration>,
    /// The size of the largest response, including its head.
    pub(super) max_response_bytes: usize,
}

/// Posts the requests over the given number of connections, until they are used up or the time is over. With
/// a `rate` in requests per second, each latency is measured from the time when the request was due.
pub(super) fn run(
    port: u16,
    requests: Vec<Vec<u8>>,
    connections: usize,
    max_duration: Duration,
    rate: Option<f64>,
) -> Result<LoadResult> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream =
                TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect to the service")?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let began = Instant::now();
        let until = began + max_duration;
        let queue = Arc::new(RequestQueue { requests, next: AtomicUsize::new(0), began, rate });
        let clients: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::spawn(client(stream, Arc::clone(&queue), until)))
            .collect();
        let mut answers = Vec::new();
        for client in clients {
            answers.extend(client.await??);
        }
        let took = began.elapsed();
        let accepted = answers.iter().filter(|answer| answer.status == 200).count();
        let mut latencies: Vec<Duration> = answers.iter().map(|answer| answer.latency).collect();
        latencies.sort_unstable();
        let longest = answers.iter().map(|answer| answer.length).max().unwrap_or_default();
        Ok(LoadResult {
            accepted,
            rejected: answers.len() - accepted,
            elapsed: took,
            latencies,
            max_response_bytes: longest,
        })
    })
}

/// A response and its latency.
struct TimedResponse {
    status: u16,
    length: usize,
    latency: Duration,
}

struct RequestQueue {
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
    began: Instant,
    rate: Option<f64>,
}

impl RequestQueue {
    /// Returns the next request and when it is due.
    fn take(&self) -> Option<(&[u8], Option<Instant>)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let due = self.rate.map(|rate| self.began + Duration::from_secs_f64(index as f64 / rate));
        Some((self.requests.get(index)?, due))
    }
}

async fn client(
    mut stream: TcpStream,
    queue: Arc<RequestQueue>,
    until: Instant,
) -> Result<Vec<TimedResponse>> {
    let mut answers = Vec::new();
    let mut buffer = Vec::with_capacity(1024);
    while Instant::now() < until {
        let Some((request, due)) = queue.take() else { break };
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        let began = due.unwrap_or_else(Instant::now);
        stream.write_all(request).await?;
        let status = read_response(&mut stream, &mut buffer).await?;
        answers.push(TimedResponse { status, length: buffer.len(), latency: began.elapsed() });
    }
    Ok(answers)
}

/// Reads a response to its end and returns its status.
async fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
    buffer.clear();
    loop {
        if let Some((status, length)) = parse_complete_response(buffer)? {
            if buffer.len() > length {
                bail!("the service answered more than once");
            }
            return Ok(status);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::Error::from(ErrorKind::UnexpectedEof))
                .context("the service closed a connection");
        }
    }
}

/// Returns the status and length of a response, once it is complete.
fn parse_complete_response(buffer: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&buffer[..end])?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    if headers.clone().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
        // Only one request is open at a time, so the buffer ends where the response ends.
        return Ok(buffer.ends_with(b"\r\n0\r\n\r\n").then_some((status, buffer.len())));
    }
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.context("an answer without a length")?.1.trim().parse()?;
    let total = end + 4 + length;
    Ok((buffer.len() >= total).then_some((status, total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_complete_only_with_whole_body() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(parse_complete_response(text).expect("HTTP"), Some((200, text.len())));
        assert_eq!(parse_complete_response(&text[..text.len() - 1]).expect("HTTP"), None);
        assert_eq!(parse_complete_response(b"HTTP/1.1 200 OK\r\n").expect("HTTP"), None);
        let pieces = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(parse_complete_response(pieces).expect("HTTP"), Some((200, pieces.len())));
        assert_eq!(parse_complete_response(&pieces[..pieces.len() - 5]).expect("HTTP"), None);
    }
}
