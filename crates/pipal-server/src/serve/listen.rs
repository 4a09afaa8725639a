//! Opening of listeners.

use pipal_model::{Error, Result};
use tokio::net::{TcpListener, lookup_host};

/// Binds `host:port`; an empty host is every address of the machine.
///
/// # Errors
/// The name does not resolve, or the address is taken; the text names both flag and address.
pub async fn bind(flag: &'static str, host: &str, port: u16) -> Result<TcpListener> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let subject = format!("{host}:{port} ({flag})");
    let failed = |cause: std::io::Error| Error::io("listen on", &subject, cause);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = None;
    for address in lookup_host((host, port)).await.map_err(failed)? {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(cause) => last = Some(cause),
        }
    }
    let unresolved = || std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    Err(failed(last.unwrap_or_else(unresolved)))
}

/// Divides `host:port`; the host may be empty.
///
/// # Errors
/// There is no port.
pub fn host_and_port(flag: &'static str, address: &str) -> Result<(String, u16)> {
    let invalid = || Error::invalid("read options", format!("{flag}: {address:?} is not host:port"));
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    Ok((host.to_owned(), port.parse().map_err(|_| invalid())?))
}

/// True when only this machine reaches the host.
pub fn is_loopback(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || plain.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = bind("--grpc-port", "127.0.0.1", 0).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let error = bind("--grpc-port", "127.0.0.1", port).await.unwrap_err();
        assert!(error.to_string().contains(&format!("127.0.0.1:{port} (--grpc-port)")), "{error}");
    }

    #[test]
    fn addresses_are_divided_at_the_last_colon() {
        assert_eq!(host_and_port("f", ":2121").unwrap(), (String::new(), 2121));
        assert_eq!(host_and_port("f", "[::1]:2121").unwrap(), ("[::1]".to_owned(), 2121));
        assert!(host_and_port("f", "2121").is_err());
        assert!(host_and_port("f", "host:70000").is_err());
    }

    #[test]
    fn loopback_has_many_names() {
        assert!(is_loopback("127.0.0.1") && is_loopback("localhost") && is_loopback("[::1]"));
        assert!(!is_loopback("") && !is_loopback("0.0.0.0") && !is_loopback("10.0.0.1"));
    }
}
