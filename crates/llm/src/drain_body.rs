//! Reads a response body to its very end. A reader of a stream stops at `[DONE]`, but the end of the body
//! follows it. Until the end is read the connection cannot be reused, and every request would open a new one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt};
use reqwest::{Body, Response};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// The last event of a stream, in both spellings: the space is optional.
const DONE_EVENTS: [&[u8]; 2] = [b"data: [DONE]", b"data:[DONE]"];

/// Limits the wait for the end of the body after the last event.
const BODY_DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Wraps a response so that the end of its body is read when it is dropped.
pub(crate) fn drain_on_drop(response: Response) -> Response {
    let mut head = http::Response::new(());
    *head.status_mut() = response.status();
    *head.headers_mut() = response.headers().clone();
    let bytes = response.bytes_stream().boxed();
    let body = DrainOnDrop { bytes: Some(bytes), is_done: false };
    Response::from(head.map(|()| Body::wrap_stream(body)))
}

struct DrainOnDrop {
    /// The body; `None` once it has ended.
    bytes: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    /// True once the last event was read.
    is_done: bool,
}

impl Stream for DrainOnDrop {
    type Item = reqwest::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.bytes else { return Poll::Ready(None) };
        let next = ready!(body.poll_next_unpin(context));
        match &next {
            Some(Ok(bytes)) => {
                self.is_done = DONE_EVENTS.iter().any(|done| bytes.trim_ascii_end().ends_with(done))
            }
            _ => self.bytes = None,
        }
        Poll::Ready(next)
    }
}

impl Drop for DrainOnDrop {
    fn drop(&mut self) {
        // An abandoned stream must not be read further: its tokens would be billed.
        let Some(mut body) = self.bytes.take().filter(|_| self.is_done) else { return };
        // Without a runtime there is no connection to reuse.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let _ = timeout(BODY_DRAIN_TIMEOUT, async { while let Some(Ok(_)) = body.next().await {} }).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    const CONTENT_EVENT: &str = "data: {\"choices\":[]}\n\n";
    const DONE_EVENT: &str = "data: [DONE]\n\n";

    /// Answers each request with these events, sends the end of the body later, and counts the connections.
    async fn serve(events: &'static [&'static str]) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, connections) =
            (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    while stream.read(&mut [0; 4096]).await.is_ok_and(|length| length > 0) {
                        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                        stream.write_all(head.as_bytes()).await.unwrap();
                        for event in events {
                            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                            stream.write_all(chunk.as_bytes()).await.unwrap();
                            sleep(Duration::from_millis(20)).await;
                        }
                        stream.write_all(b"0\r\n\r\n").await.unwrap();
                    }
                });
            }
        });
        (url, connections)
    }

    const REQUEST_COUNT: usize = 5;

    /// Sends [`REQUEST_COUNT`] requests, one after the other, and drops each response after its last event.
    async fn count_connections(
        events: &'static [&'static str],
        wrap: impl Fn(Response) -> Response,
    ) -> usize {
        let (url, connections) = serve(events).await;
        let http = reqwest::Client::new();
        for _ in 0..REQUEST_COUNT {
            let response = wrap(http.get(&url).send().await.unwrap());
            let mut body = response.bytes_stream();
            for event in events {
                assert_eq!(body.next().await.unwrap().unwrap(), event.as_bytes());
            }
            drop(body);
            sleep(Duration::from_millis(100)).await;
        }
        connections.load(Ordering::SeqCst)
    }

    /// The tolerance: after a pause of the machine, one request may get the wrong kind of connection.
    const MAX_STRAY_CONNECTIONS: usize = 1;

    #[tokio::test]
    async fn complete_response_frees_its_connection() {
        assert!(
            count_connections(&[CONTENT_EVENT, DONE_EVENT], drain_on_drop).await <= 1 + MAX_STRAY_CONNECTIONS
        );
        assert!(
            count_connections(&[CONTENT_EVENT, DONE_EVENT], |response| response).await
                >= REQUEST_COUNT - MAX_STRAY_CONNECTIONS
        );
    }

    #[tokio::test]
    async fn abandoned_response_is_not_drained() {
        assert!(
            count_connections(&[CONTENT_EVENT, CONTENT_EVENT], drain_on_drop).await
                >= REQUEST_COUNT - MAX_STRAY_CONNECTIONS
        );
    }
}
