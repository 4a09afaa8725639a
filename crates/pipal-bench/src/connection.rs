//! Connections to the server under test.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// Receive window that Java gRPC clients use.
const WINDOW_BYTES: u32 = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One or more connections that calls take turns on. The real client has one for everything.
#[derive(Debug)]
pub struct Connections {
    channels: Vec<Channel>,
    next: AtomicUsize,
}

impl Connections {
    /// Opens `count` connections (at least one) to `address` (`host:port`).
    pub async fn open(address: &str, count: usize) -> Result<Self, String> {
        let mut channels = Vec::new();
        for _ in 0..count.max(1) {
            channels.push(connect(address).await?);
        }
        Ok(Connections { channels, next: AtomicUsize::new(0) })
    }

    /// The connection for the next call.
    pub fn take(&self) -> Result<Channel, String> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len().max(1);
        self.channels.get(turn).cloned().ok_or_else(|| "no connection".to_owned())
    }
}

async fn connect(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address} is not a host:port: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    endpoint.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        format!("no server answers at {address} ({cause}); start one with `pipal serve` or name another with --addr")
    })
}
