//! HTTP/1.1 over a Unix socket, one request per connection: enough for tests to talk to bgpd without a runtime.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(15);

/// Status and body of an answer.
#[derive(Clone, Debug)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

impl HttpReply {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("not JSON (status {}): {}", self.status, self.body))
    }
}

/// Sends one request and reads the answer to its end.
pub fn http_request(socket: &Path, method: &str, target: &str, body: Option<&str>) -> Result<HttpReply> {
    let what = || format!("{method} {target} on {}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(what)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let body = body.unwrap_or_default();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).with_context(what)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(what)?;
    parse(&answer).with_context(what)
}

fn parse(answer: &[u8]) -> Result<HttpReply> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a head")?;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer without a status")?;
    let chunked = head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = if chunked { dechunk(body)? } else { body.to_owned() };
    Ok(HttpReply { status, body })
}

fn dechunk(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").context("a chunk without a length")?;
        let length = usize::from_str_radix(length.trim(), 16).context("a chunk length that is no number")?;
        if length == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..length).context("a short chunk")?);
        rest = after.get(length + 2..).context("a chunk without an end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_chunked_bodies() {
        let plain = parse(b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (422, "{}"));
        let chunked =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        assert_eq!(chunked.unwrap().body, "abcde");
        assert!(parse(b"HTTP/1.1 200 OK").is_err());
    }
}
