//! Answers that are made while they are sent: page by page from the owner, piece by piece to the client.
//!
//! Invariant: what is streamed as JSON is the same document that the whole value would be, keys in the same order, so a
//! client cannot tell.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use futures::stream;
use ipnet::IpNet;
use serde::Serialize;

use crate::http::error::ApiError;
use crate::http::show::Format;

/// Prefixes that one question to the owner may return.
pub const PAGE: usize = 512;

/// Where a walk over a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The next page begins after this prefix; `None`: with the first.
    After(Option<IpNet>),
    /// Nothing is left.
    End,
}

/// Something that comes in pages and ends with what only its end knows.
pub trait Paged: Send + 'static {
    /// One page, rendered.
    fn next(
        &mut self,
        place: Place,
        limit: usize,
    ) -> impl Future<Output = Result<(String, usize, Place), ApiError>> + Send;
    /// What follows the last entry.
    fn end(&mut self) -> String;
}

/// Streams `head`, all pages, and the end. At most `limit` entries if there is a limit.
///
/// # Errors
/// If the first page cannot be had. Later failures cut the answer short, which the client sees as a broken body.
pub async fn answer<P: Paged>(
    format: Format,
    head: String,
    mut pages: P,
    after: Option<IpNet>,
    limit: Option<usize>,
) -> Result<Response, ApiError> {
    let mut left = limit.unwrap_or(usize::MAX);
    let (first, count, place) = pages.next(Place::After(after), left.clamp(1, PAGE)).await?;
    left = left.saturating_sub(count);
    let begin = format!("{head}{first}");
    let state = (pages, if left == 0 { Place::End } else { place }, left, Some(begin), false);
    let body = stream::unfold(state, |(mut pages, place, left, begin, ended)| async move {
        if let Some(begin) = begin {
            return Some((Ok::<_, Broken>(Bytes::from(begin)), (pages, place, left, None, false)));
        }
        if ended {
            return None;
        }
        if place == Place::End {
            let end = pages.end();
            return Some((Ok(Bytes::from(end)), (pages, place, left, None, true)));
        }
        match pages.next(place, left.min(PAGE)).await {
            Ok((text, count, place)) => {
                let left = left.saturating_sub(count);
                let place = if left == 0 { Place::End } else { place };
                Some((Ok(Bytes::from(text)), (pages, place, left, None, false)))
            }
            Err(_instance_gone) => Some((Err(Broken), (pages, Place::End, left, None, true))),
        }
    });
    let kind = match format {
        Format::Json => "application/json",
        Format::Text => "text/plain; charset=utf-8",
    };
    let response = Response::builder().header(header::CONTENT_TYPE, kind).body(Body::from_stream(body));
    response.map_err(|error| ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The instance ended while its table was being sent.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the instance has stopped")]
pub struct Broken;

/// A JSON object being written in pretty form: head, one long member, tail.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonObject {
    entries: bool,
}

impl JsonObject {
    /// The members of `head` and the beginning of the long member.
    pub fn begin<T: Serialize>(head: &T, member: &str) -> String {
        let head = pretty(head);
        let open = head.strip_suffix("\n}").unwrap_or("{");
        let comma = if open.len() > 1 { "," } else { "" };
        format!("{open}{comma}\n  \"{member}\": {{")
    }

    /// One entry of the long member.
    pub fn entry<T: Serialize>(&mut self, out: &mut String, key: &str, value: &T) {
        out.push_str(if self.entries { ",\n    " } else { "\n    " });
        self.entries = true;
        out.push_str(&pretty(&key));
        out.push_str(": ");
        // Line breaks inside of strings are escaped in JSON, so every real one is layout.
        out.push_str(&pretty(value).replace('\n', "\n    "));
    }

    /// The end of the long member and the members that follow it.
    pub fn end(&self, members: &[(&str, u64)]) -> String {
        let mut out = String::from(if self.entries { "\n  }" } else { "}" });
        for (name, value) in members {
            out.push_str(&format!(",\n  \"{name}\": {value}"));
        }
        out.push_str("\n}");
        out
    }
}

/// JSON as people read it. What the API shows is always representable.
pub fn pretty<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Head {
        id: u32,
    }

    #[test]
    fn pieces_make_the_same_document_as_the_whole() {
        for count in [0_u32, 1, 3] {
            let mut object = JsonObject::default();
            let mut text = JsonObject::begin(&Head { id: 7 }, "routes");
            let mut whole = serde_json::Map::new();
            for number in 0..count {
                let value = serde_json::json!([{"n": number, "text": "two\nlines"}]);
                object.entry(&mut text, &number.to_string(), &value);
                whole.insert(number.to_string(), value);
            }
            text.push_str(&object.end(&[("total", u64::from(count))]));
            let expected = serde_json::json!({"id": 7, "routes": whole, "total": count});
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), expected);
            if count == 3 {
                assert_eq!(text, serde_json::to_string_pretty(&expected).expect("JSON"));
            }
        }
    }
}
