//! Accepts HTTP connections, bounds request heads and time-outs, and drains on shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::client_ip::Peer;

/// The longest path and query. Slack's and our own are far shorter.
const MAX_URI_BYTES: usize = 8 * 1024;

/// The most bytes of a request's head.
///
/// The number of headers has hyper's own limit, 100: setting one costs an allocation per request.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The time for a request's head, counted from the end of the previous response.
///
/// Proxies keep idle connections for a minute. If this were shorter, they would send requests into closing
/// connections.
pub(crate) const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(65);

/// The time that sent data may stay unacknowledged by the client.
const TCP_USER_TIMEOUT_MILLIS: u32 = 60_000;

/// The time for which new connections are accepted after the signal, so that a load balancer notices first.
pub(crate) const LAME_DUCK: Duration = Duration::from_millis(500);

/// The time for which idle connections stay open after that. Their next response carries `connection: close`.
///
/// Closing them at once would lose requests that are on the way.
pub(crate) const KEEP_ALIVE_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Accepts connections until [`LAME_DUCK`] after `shutdown`, then waits for the requests in progress.
pub(crate) async fn serve_connections<S>(
    mut listener: TcpListener,
    app: S,
    header_timeout: Duration,
    shutdown: CancellationToken,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let connections = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    server.max_header_size(MAX_HEAD_BYTES);
    let is_last = Arc::new(AtomicBool::new(false));
    let mut closing = pin!(async {
        shutdown.cancelled().await;
        is_last.store(true, Ordering::Relaxed);
        sleep(LAME_DUCK).await;
    });
    loop {
        let (stream, peer): (TcpStream, SocketAddr) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            _ = &mut closing => break,
        };
        set_unread_timeout(&stream);
        let (app, peer, is_last) = (app.clone(), Peer(peer.ip()), Arc::clone(&is_last));
        let service = service_fn(move |request| {
            let (response, is_last) = (handle_request(app.clone(), peer, request), Arc::clone(&is_last));
            async move {
                let mut response = response.await?;
                if is_last.load(Ordering::Relaxed) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // The client closed it, so only a debugging session needs to know.
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "connection aborted");
            }
        });
    }
    drop(listener);
    let started_at = Instant::now();
    while connections.count() > 0 && started_at.elapsed() < KEEP_ALIVE_DRAIN_TIMEOUT {
        sleep(Duration::from_millis(20)).await;
    }
    connections.shutdown().await;
}

async fn handle_request<S>(mut app: S, peer: Peer, request: Request<Incoming>) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if length > MAX_URI_BYTES {
        return Ok(StatusCode::URI_TOO_LONG.into_response());
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    std::future::poll_fn(|context| app.poll_ready(context)).await?;
    app.call(request).await
}

/// Closes the connection of a client that stops reading.
fn set_unread_timeout(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, TCP_USER_TIMEOUT_MILLIS) {
        tracing::debug!(error = %error, "setting TCP_USER_TIMEOUT failed");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, TCP_USER_TIMEOUT_MILLIS);
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const LISTENER_TEST_TIMEOUT: Duration = Duration::from_secs(5);

    async fn start(head: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/", get(async || "here"));
        tokio::spawn(serve_connections(listener, app, head, CancellationToken::new()));
        address
    }

    /// Sends bytes and returns the response, up to the end of the connection.
    async fn send(address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut response = String::new();
        timeout(LISTENER_TEST_TIMEOUT, stream.read_to_string(&mut response))
            .await
            .expect("the connection closes")
            .unwrap();
        response
    }

    #[tokio::test]
    async fn unfinished_request_head_times_out() {
        let address = start(Duration::from_millis(200)).await;
        assert_eq!(send(address, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await, "");
        assert_eq!(send(address, "").await, "", "a request that never begins");
        let response = send(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("here"), "{response}");
    }

    #[tokio::test]
    async fn oversized_request_head_is_rejected() {
        let address = start(LISTENER_TEST_TIMEOUT).await;
        let close = "host: a\r\nconnection: close\r\n\r\n";
        let uri = format!("GET /?{} HTTP/1.1\r\n{close}", "x".repeat(MAX_URI_BYTES));
        let large = format!("GET / HTTP/1.1\r\nx-large: {}\r\n{close}", "x".repeat(MAX_HEAD_BYTES));
        let many = format!("GET / HTTP/1.1\r\n{}{close}", "x-one: 1\r\n".repeat(100));
        for (request, status) in [(uri, 414), (large, 431), (many, 431), ("HTTP?\r\n\r\n".into(), 400)] {
            let response = send(address, &request).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {response}");
        }
    }

    #[tokio::test]
    async fn keep_alive_closes_after_drain_response() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let app = Router::new().route("/", get(async || "here"));
        let serving = tokio::spawn(serve_connections(listener, app, LISTENER_TEST_TIMEOUT, shutdown.clone()));
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut first = [0; 1024];
        let length = idle.read(&mut first).await.unwrap();
        assert!(!String::from_utf8_lossy(&first[..length]).contains("close"));
        shutdown.cancel();
        sleep(LAME_DUCK + Duration::from_millis(200)).await;
        assert!(TcpStream::connect(address).await.is_err(), "no new connection is accepted");
        idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut last = String::new();
        timeout(LISTENER_TEST_TIMEOUT, idle.read_to_string(&mut last))
            .await
            .expect("the connection closes")
            .unwrap();
        assert!(last.contains("connection: close") && last.ends_with("here"), "{last}");
        timeout(LISTENER_TEST_TIMEOUT, serving).await.expect("draining ends").unwrap();
    }
}
