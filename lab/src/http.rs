//! HTTP/1.1 without a runtime: enough for tests to talk to rutter's APIs, to etcd and to a `kubectl proxy`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(15);
/// What a body is unless said otherwise.
pub(crate) const JSON: &str = "application/json";

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

/// A stream of either kind.
trait Stream: Read + Write + Send {}
impl Stream for UnixStream {}
impl Stream for TcpStream {}

/// One connection that carries requests one after the other. An error leaves it useless: open another one.
pub struct HttpConnection {
    stream: BufReader<Box<dyn Stream>>,
}

impl std::fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConnection").finish_non_exhaustive()
    }
}

impl HttpConnection {
    /// A connection to a Unix socket.
    pub fn unix(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("dialling {}", socket.display()))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)) })
    }

    /// A connection over TCP, from the namespace this thread is in.
    pub fn tcp(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("dialling {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(Box::new(stream)) })
    }

    /// One request, whose body is JSON, and its answer.
    pub fn request(&mut self, method: &str, target: &str, body: Option<&str>) -> Result<HttpReply> {
        self.send(method, target, JSON, body)
    }

    /// One request with a body of some type, and its answer.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        content_type: &str,
        body: Option<&str>,
    ) -> Result<HttpReply> {
        let body = body.unwrap_or_default();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, */*\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .with_context(|| format!("sending {method} {target}"))?;
        self.answer(method).with_context(|| format!("{method} {target}"))
    }

    fn answer(&mut self, method: &str) -> Result<HttpReply> {
        let status = self.line()?;
        let status: u16 = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("an answer without a status: `{status}`"))?;
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse::<usize>().context("a length that is no number")?);
            }
            chunked |= name.eq_ignore_ascii_case("transfer-encoding")
                && value.trim().eq_ignore_ascii_case("chunked");
        }
        let mut body = Vec::new();
        match (chunked, length) {
            _ if method == "HEAD" || status == 204 || status == 304 => {}
            (true, _) => self.chunks(&mut body)?,
            (false, Some(length)) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body)?;
            }
            (false, None) => drop(self.stream.read_to_end(&mut body)?),
        }
        Ok(HttpReply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).context("a chunk length that is no number")?;
            let start = body.len();
            body.resize(start + length, 0);
            if let Some(chunk) = body.get_mut(start..) {
                self.stream.read_exact(chunk)?;
            }
            ensure!(self.line()?.is_empty(), "a chunk without an end");
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        ensure!(line.ends_with(b"\n"), "the answer ends in the middle");
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// Sends one request over a connection of its own.
pub fn http_request(socket: &Path, method: &str, target: &str, body: Option<&str>) -> Result<HttpReply> {
    HttpConnection::unix(socket)
        .and_then(|mut connection| connection.request(method, target, body))
        .with_context(|| format!("{method} {target} on {}", socket.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(answer: &'static [u8]) -> HttpConnection {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).unwrap();
        HttpConnection { stream: BufReader::new(Box::new(ours)) }
    }

    #[test]
    fn plain_and_chunked_bodies_on_one_connection() {
        let mut connection = connection(
            b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 2\r\n\r\n{}\
              HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
              HTTP/1.1 204 No Content\r\n\r\n",
        );
        let plain = connection.answer("GET").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (422, "{}"));
        assert_eq!(connection.answer("GET").unwrap().body, "abcde");
        assert_eq!(connection.answer("DELETE").unwrap().status, 204);
        assert!(connection.answer("GET").is_err());
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        assert!(connection(b"HTTP/1.1 200 OK").answer("GET").is_err());
        assert!(connection(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").answer("GET").is_err());
    }
}
