//! The HTTP listener of `/metrics`. It answers GET and nothing else, so a few lines of HTTP/1.1 do.

use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Most scrapes at one time; others wait in the backlog of the socket.
const MAX_CONNECTIONS: usize = 16;
/// Longest request head.
const MAX_HEAD_BYTES: u64 = 8 << 10;
/// A scrape that takes longer is cut off.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves scrapes until it is dropped. `render` makes the text of one scrape.
pub async fn serve_metrics(listener: TcpListener, render: impl Fn() -> String + Send + Sync + 'static) {
    let render = Arc::new(render);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a scrape could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let render = render.clone();
        tokio::spawn(async move {
            // A scraper that goes away or dawdles concerns nobody else.
            let _ = tokio::time::timeout(TIMEOUT, answer(stream, &*render)).await;
            drop(slot);
        });
    }
}

async fn answer(mut stream: TcpStream, render: &(dyn Fn() -> String + Send + Sync)) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut head = BufReader::new(read.take(MAX_HEAD_BYTES));
    let mut request = String::new();
    head.read_line(&mut request).await?;
    let mut line = String::new();
    while head.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let response = respond(&request, render);
    write.write_all(response.as_bytes()).await?;
    write.shutdown().await
}

fn respond(request_line: &str, render: &(dyn Fn() -> String + Send + Sync)) -> String {
    let mut words = request_line.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let (status, body) = match (method, path) {
        ("GET", "/metrics") => ("200 OK", render()),
        (_, "/metrics") => ("405 Method Not Allowed", "only GET\n".to_owned()),
        _ => ("404 Not Found", "404 page not found\n".to_owned()),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scrape_gets_the_text_and_other_paths_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve_metrics(listener, || "x 1\n".to_owned()));
        for (request, status, body) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK", "x 1\n"),
            ("GET /metrics?a=b HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "x 1\n"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405", "only GET\n"),
            ("GET /_route HTTP/1.1\r\n\r\n", "HTTP/1.1 404", "404 page not found\n"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            assert!(response.starts_with(status) && response.ends_with(body), "{request}: {response}");
        }
        server.abort();
    }
}
