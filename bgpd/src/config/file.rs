//! The YAML configuration file of a plain router: `api`, `log`, `hostname` and the instances of owner `file`.
//!
//! Every error has the form `FILE:LINE:COLUMN: field: what is wrong; what to do`, for syntax, types and meaning alike.
//!
//! Invariant: a [`ConfigFile`] that was read has passed [`Intent::validate`]; starting with it fails only for reasons
//! that lie outside of the file (a port in use, a missing interface).

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rutter_api::intent::{Instance, Intent, InvalidIntent, TakenOver};
use serde::Deserialize;

use crate::config::position::{FieldPositions, Position};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFile {
    /// Where the API listens. Read at start only.
    #[serde(default)]
    pub api: ApiSection,
    /// How much is logged, and how. The level follows a reload, the format does not.
    #[serde(default)]
    pub log: LogSection,
    /// Name sent to neighbours in the FQDN capability. Absent: the machine's.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The instances, as in an intent.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// Section `api`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiSection {
    /// Path of the Unix socket.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// Address and port of a TCP listener as well. A port alone listens on 127.0.0.1.
    #[serde(default, deserialize_with = "listen_address")]
    pub listen: Option<SocketAddr>,
    /// File with the token that writing over TCP needs. Without it, TCP is read-only.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Section `log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSection {
    /// `text` or `json`.
    #[serde(default)]
    pub format: Option<LogFormat>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,bgpd::instance=debug`.
    #[serde(default)]
    pub level: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// A file that cannot be used, and each reason found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One reason why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Where in it; absent if it could not be read at all.
    pub position: Option<Position>,
    /// The field, empty for the document itself.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.field.is_empty() {
            write!(f, " {}:", self.field)?;
        }
        write!(f, " {}", self.problem)
    }
}

impl ConfigFile {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// All that is wrong with it, as far as reading got.
    pub fn read(path: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigErrors(vec![ConfigError {
                file: path.to_owned(),
                position: None,
                field: String::new(),
                problem: format!("cannot be read: {error}"),
            }])
        })?;
        Self::parse(path, &text)
    }

    /// Validates `text`, which is called `path` in errors.
    ///
    /// # Errors
    /// See [`ConfigFile::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let mut file: Self = serde_saphyr::from_str(text)
            .map_err(|error| ConfigErrors(vec![syntax_error(path, text, error.without_snippet())]))?;
        let refuse = |invalid: InvalidIntent, taken: &TakenOver| {
            let mut problem = invalid.problem.to_string();
            let mut field = invalid.field;
            // What was written in a group is put right there.
            if let Some(source) = taken.source(&field) {
                problem = format!("{problem} (taken over by {field})");
                field = source;
            }
            let position = Some(FieldPositions::of(text).position(&field));
            ConfigErrors(vec![ConfigError { file: path.to_owned(), position, field, problem }])
        };
        let taken = file.take_over(text).map_err(|invalid| refuse(invalid, &TakenOver::default()))?;
        match file.intent().validate() {
            Ok(()) => Ok(file),
            Err(invalid) => Err(refuse(invalid, &taken)),
        }
    }

    /// Completes peers with what their groups have.
    fn take_over(&mut self, text: &str) -> Result<TakenOver, InvalidIntent> {
        let grouped = |instance: &Instance| {
            let peers = instance.peers.iter();
            peers
                .chain(instance.dynamic_peers.iter().map(|dynamic| &dynamic.peer))
                .any(|peer| peer.group.is_some())
        };
        if !self.instances.iter().any(grouped) {
            return Ok(TakenOver::default());
        }
        let positions = FieldPositions::of(text);
        let written = positions.written();
        let mut intent = Intent { hold_seconds: None, instances: std::mem::take(&mut self.instances) };
        let taken = intent.take_over(|path| written.contains(path));
        self.instances = intent.instances;
        taken
    }

    /// What owner `file` wants.
    #[must_use]
    pub fn intent(&self) -> Intent {
        Intent { hold_seconds: None, instances: self.instances.clone() }
    }
}

/// Accepts `127.0.0.1:9179`, `[::1]:9179` and a bare port, which stays on the loopback.
fn listen_address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    parse_listen(&text).map(Some).map_err(serde::de::Error::custom)
}

/// The same for the command line.
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_not_an_address| {
        format!("`{text}` is no ADDRESS:PORT; write for example 127.0.0.1:9179 or [::1]:9179")
    })
}

fn syntax_error(path: &Path, text: &str, error: &serde_saphyr::Error) -> ConfigError {
    let rendered = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let position =
        error.location().map(|at| Position { line: to_usize(at.line()), column: to_usize(at.column()) });
    let message = match position {
        Some(Position { line, column }) => {
            rendered.replace(&format!(" at line {line}, column {column}"), "").trim().to_owned()
        }
        None => rendered,
    };
    let positions = FieldPositions::of(text);
    let (field, problem) = match position {
        None => (String::new(), message),
        Some(position) => advise(&positions, position, &message),
    };
    ConfigError { file: path.to_owned(), position: Some(position.unwrap_or(Position::START)), field, problem }
}

/// Turns serde's words into a field and a sentence that says what to write.
fn advise(positions: &FieldPositions, position: Position, message: &str) -> (String, String) {
    let field = positions.field_at(position).to_owned();
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        let mapping = positions.mapping_at(position);
        let field = if mapping.is_empty() { missing.to_owned() } else { format!("{mapping}.{missing}") };
        return (field, "is missing; it must be set".to_owned());
    }
    let problem = match message {
        // Whatever the reader says about it may quote the secret.
        _ if field.ends_with(".password") || field.ends_with(".secret") => {
            "must be text; quote it if it looks like something else".to_owned()
        }
        "invalid u8" => "must be a whole number from 0 to 255".to_owned(),
        "invalid u16" => "must be a whole number from 0 to 65535".to_owned(),
        "invalid u32" => "must be a whole number from 0 to 4294967295".to_owned(),
        "invalid bool" | "invalid boolean" => "must be true or false".to_owned(),
        "invalid IPv4 address syntax" => "must be an IPv4 address such as 192.0.2.1".to_owned(),
        "invalid IP address syntax" if field.ends_with("prefix") => {
            "must be a prefix such as 192.0.2.0/24 or 2001:db8::/32".to_owned()
        }
        "invalid IP address syntax" => "must be an IP address such as 192.0.2.1 or 2001:db8::1".to_owned(),
        "expected string scalar" => "must be text; quote it if it looks like something else".to_owned(),
        "expected mapping start" => "must be a mapping of `key: value` lines".to_owned(),
        "expected sequence start" => "must be a list; begin each item with `- `".to_owned(),
        other if other.starts_with("unknown field") => format!("{other}; correct or remove it"),
        other => other.to_owned(),
    };
    (field, problem)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        ConfigFile::parse(Path::new("router.yaml"), text).expect_err("a refusal").to_string()
    }

    #[test]
    fn a_whole_file() {
        let file = ConfigFile::parse(
            Path::new("router.yaml"),
            "\
api:
  socket: /tmp/x.sock
  listen: 9179
log: {format: json, level: debug}
hostname: edge
instances:
  - name: main
    localASN: 65001
    routerID: 10.0.0.1
    listenPort: 179
    peers:
      - name: tor
        address: 192.0.2.1
        peerASN: 65010
",
        )
        .expect("a valid file");
        assert_eq!(file.api.listen, Some("127.0.0.1:9179".parse().expect("an address")));
        assert_eq!(file.log.format, Some(LogFormat::Json));
        assert_eq!(file.intent().instances[0].peers[0].port, 179);
    }

    #[test]
    fn an_empty_file_is_an_empty_router() {
        assert_eq!(ConfigFile::parse(Path::new("x"), "").expect("valid"), ConfigFile::default());
        assert_eq!(
            ConfigFile::parse(Path::new("x"), "# nothing yet\n").expect("valid"),
            ConfigFile::default()
        );
    }

    #[test]
    fn errors_name_line_column_and_field() {
        let head = "instances:\n  - name: a\n    localASN: 65001\n";
        let cases = [
            (
                format!("{head}    routerID: 10.0.0.300\n"),
                "router.yaml:4:15: instances[0].routerID: must be an IPv4 address such as 192.0.2.1",
            ),
            (head.to_owned(), "router.yaml:3:5: instances[0].routerID: is missing; it must be set"),
            (
                format!(
                    "{head}    routerID: 10.0.0.1\n    peers:\n      - name: p\n        address: 10.0.0.2\n        timers: {{holdSeconds: 90s}}\n"
                ),
                "router.yaml:8:31: instances[0].peers[0].timers.holdSeconds: must be a whole number from 0 to 65535",
            ),
            (
                "hostnam: x\n".to_owned(),
                "router.yaml:1:1: hostnam: unknown field `hostnam`, expected one of api, log, hostname, instances; correct or remove it",
            ),
            ("- a\n".to_owned(), "router.yaml:1:1: must be a mapping of `key: value` lines"),
            (
                "api:\n  listen: here\n".to_owned(),
                "router.yaml:2:11: api.listen: `here` is no ADDRESS:PORT; write for example 127.0.0.1:9179 or [::1]:9179",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(error_of(&text), expected, "for:\n{text}");
        }
    }

    #[test]
    fn a_broken_rule_is_found_in_the_file() {
        let text = "\
instances:
  - name: a
    localASN: 23456
    routerID: 10.0.0.1
";
        let error = error_of(text);
        assert!(error.starts_with("router.yaml:3:15: instances[0].localASN: 23456 is reserved"), "{error}");
    }

    #[test]
    fn what_a_group_says_wrong_is_found_in_the_group() {
        let file = |timers: &str| {
            format!(
                "\
instances:
  - name: a
    localASN: 65001
    routerID: 10.0.0.1
    peerGroups:
      - name: tors
        password: geheim
        timers: {timers}
    peers:
      - name: p
        address: 10.0.0.2
        group: tors
"
            )
        };
        let good = ConfigFile::parse(Path::new("x"), &file("{holdSeconds: 9, keepaliveSeconds: 3}"));
        assert_eq!(good.expect("valid").instances[0].peers[0].timers.hold_seconds, 9);
        assert_eq!(
            error_of(&file("{holdSeconds: 2}")),
            "router.yaml:8:31: instances[0].peerGroups[0].timers.holdSeconds: 2 is out of range; write 0 or 3 to \
             65535 (RFC 4271 §4.2) (taken over by instances[0].peers[0].timers.holdSeconds)"
        );
        assert_eq!(
            error_of(&file("{holdSeconds: 2}").replace("group: tors", "group: spines")),
            "router.yaml:12:16: instances[0].peers[0].group: \"spines\" is not the name of a peer group; list it \
             under the instance's peerGroups"
        );
        let typo = error_of(&file("{holdSecond: 2}"));
        assert!(
            typo.starts_with("router.yaml:8:18: instances[0].peerGroups[0].timers.holdSecond: unknown field"),
            "{typo}"
        );
        let typo = error_of(&file("{}").replace("password:", "pasword:"));
        assert!(typo.starts_with("router.yaml:7:"), "{typo}");
        let secret = error_of(&file("{}").replace("geheim", "[geheim]"));
        assert!(secret.starts_with("router.yaml:7:") && !secret.contains("geheim"), "{secret}");
    }

    #[test]
    fn a_missing_file_says_so() {
        let error = ConfigFile::read(Path::new("/nowhere/router.yaml")).expect_err("no file").to_string();
        assert_eq!(error, "/nowhere/router.yaml: cannot be read: No such file or directory (os error 2)");
    }
}
