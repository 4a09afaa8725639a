//! The host part of the node's name (server surface 1.4).

use clap::ValueEnum;
use pipal_model::{Error, Result};
use std::net::UdpSocket;

/// Where the host part of the node's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NodeHostProvider {
    /// The name of the machine.
    Hostname,
    /// The address that the machine uses towards others.
    Ip,
    /// `--node-host`.
    Flag,
}

/// The host part of the node's name.
///
/// # Errors
/// The provider is `flag` and there is none.
pub fn node_host(provider: NodeHostProvider, flag: &str) -> Result<String> {
    match provider {
        NodeHostProvider::Hostname => Ok(hostname()),
        NodeHostProvider::Ip => Ok(address().unwrap_or_else(hostname)),
        NodeHostProvider::Flag if flag.is_empty() => {
            Err(Error::invalid("read options", "--node-host is required with --node-host-provider flag"))
        }
        NodeHostProvider::Flag => Ok(flag.to_owned()),
    }
}

fn hostname() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The own address on the way to a documentation address (RFC 5737). Connecting a UDP socket sends nothing.
fn address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}
