//! A proxy between the services and Postgres whose connections can be cut.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Forwards connections unless they are cut.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) port: u16,
    runtime: Handle,
    cut: watch::Sender<bool>,
}

impl Proxy {
    pub(super) async fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (cut, state) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target, state.clone()));
            }
        });
        Ok(Self { port, runtime: Handle::current(), cut })
    }

    pub(super) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    /// Breaks every connection, and every new one during the pause.
    pub(super) fn cut(&self, pause: Duration) {
        let cut = self.cut.clone();
        cut.send_replace(true);
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            cut.send_replace(false);
        });
    }
}

async fn forward(mut client: TcpStream, target: u16, mut cut: watch::Receiver<bool>) {
    let passing = async {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        _ = cut.wait_for(|cut| *cut) => {}
        _ = passing => {}
    }
}
