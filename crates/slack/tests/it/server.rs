//! A mock of Slack on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use models::TenantId;
use slack::{BotAuth, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request that the mock received.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedRequest {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A response of the mock.
pub(crate) struct MockResponse {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl MockResponse {
    pub(crate) fn json(body: &str) -> Self {
        Self { status: 200, headers: "content-type: application/json\r\n".into(), body: body.into() }
    }

    pub(crate) fn text(body: &str) -> Self {
        Self { status: 200, headers: String::new(), body: body.into() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: String::new(), body: String::new() }
    }

    pub(crate) fn with_header(mut self, header: &str) -> Self {
        self.headers.push_str(header);
        self.headers.push_str("\r\n");
        self
    }
}

pub(crate) struct MockServer {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl MockServer {
    /// Starts a mock. `respond` gets each request and the number of earlier requests.
    pub(crate) async fn start(
        respond: impl Fn(&RecordedRequest, usize) -> MockResponse + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<RecordedRequest>>> = Arc::default();
        let recorded = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read_request(&mut stream).await else { continue };
                let before = recorded.lock().unwrap().len();
                let response = respond(&request, before);
                recorded.lock().unwrap().push(request);
                write_response(&mut stream, &response).await;
            }
        });
        Self { url, requests }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, Duration::from_secs(5)).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }
}

pub(crate) fn bot(tenant_id: &str) -> BotAuth {
    BotAuth {
        tenant_id: TenantId::from(tenant_id),
        token: "xoxb-secret".into(),
        team_id: None,
        send_guard: None,
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<RecordedRequest> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let length: usize = length.parse().ok()?;
    while bytes.len() < head_end + 4 + length {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    let first = String::from_utf8_lossy(&bytes[..head_end]).lines().next()?.to_owned();
    let path = first.split(' ').nth(1)?.to_owned();
    Some(RecordedRequest { path, head, body: String::from_utf8_lossy(&bytes[head_end + 4..]).into_owned() })
}

async fn write_response(stream: &mut TcpStream, response: &MockResponse) {
    let MockResponse { status, headers, body } = response;
    let length = body.len();
    let bytes = format!(
        "HTTP/1.1 {status} -\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // The client may have disconnected, as it does above a size limit.
    let _ = stream.write_all(bytes.as_bytes()).await;
}
