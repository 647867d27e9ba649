//! Where in a YAML file a field stands: `instances[0].peers[1].peerASN` to line and column, and back.
//!
//! Only read when something is wrong: the file is walked a second time as parser events, which costs nothing while all
//! is well and needs no wrapper types in the intent.
//!
//! Invariant: a field that is not in the file resolves to its nearest ancestor that is, never to nothing.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_saphyr::granit_parser::{Event, Parser, ScanError, Span};

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The top of the file, for errors about the file as a whole.
    pub const START: Self = Self { line: 1, column: 1 };

    fn of(span: &Span) -> Self {
        // The parser counts columns from 0.
        Self { line: span.start.line(), column: span.start.col() + 1 }
    }
}

/// The positions of all fields of one YAML document.
#[derive(Debug, Default)]
pub struct FieldPositions {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    path: String,
    /// Where the key starts; for an item of a sequence, the item itself.
    key: Position,
    /// Where the value starts, if the walk got that far.
    value: Position,
    collection: bool,
}

impl FieldPositions {
    /// Walks `text`. A file that breaks off with a syntax error yields what stands before the error.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut positions = Self::default();
        let mut events = NodeEvents(Parser::new_from_str(text));
        if let Ok(Some((event, span))) = events.next_node() {
            // A syntax error was already reported by whoever calls us.
            let _partial = positions.walk(&mut events, &event, &span, String::new(), None);
        }
        positions
    }

    /// The paths of all fields and items that the file has.
    #[must_use]
    pub fn written(&self) -> HashSet<&str> {
        self.entries.iter().map(|entry| entry.path.as_str()).collect()
    }

    /// Where `path` stands. A scalar is pointed at by its value, a mapping or sequence by its key.
    #[must_use]
    pub fn position(&self, path: &str) -> Position {
        let mut wanted = path;
        loop {
            if let Some(entry) = self.entries.iter().find(|entry| entry.path == wanted) {
                return if entry.collection { entry.key } else { entry.value };
            }
            match parent(wanted) {
                Some(shorter) => wanted = shorter,
                None => return Position::START,
            }
        }
    }

    /// The field whose key or value starts exactly at `position`, else the field the position is in.
    #[must_use]
    pub fn field_at(&self, position: Position) -> &str {
        let exact = self.entries.iter().rev().find(|entry| entry.value == position || entry.key == position);
        let around =
            || self.entries.iter().filter(|entry| entry.key <= position).max_by_key(|entry| entry.key);
        exact.or_else(around).map_or("", |entry| entry.path.as_str())
    }

    /// The mapping that a key or value at `position` belongs to: the parent a missing field should have.
    #[must_use]
    pub fn mapping_at(&self, position: Position) -> &str {
        let field = self.field_at(position);
        let is_key = self
            .entries
            .iter()
            .any(|entry| entry.path == field && entry.key == position && !field.ends_with(']'));
        if is_key { parent(field).unwrap_or("") } else { field }
    }

    fn walk(
        &mut self,
        events: &mut NodeEvents<'_>,
        event: &Event<'_>,
        span: &Span,
        path: String,
        key: Option<Position>,
    ) -> Result<(), ScanError> {
        let value = Position::of(span);
        let collection = matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
        if !path.is_empty() {
            self.entries.push(Entry { path: path.clone(), key: key.unwrap_or(value), value, collection });
        }
        match event {
            Event::MappingStart(..) => self.walk_mapping(events, &path),
            Event::SequenceStart(..) => self.walk_sequence(events, &path),
            _ => Ok(()),
        }
    }

    fn walk_mapping(&mut self, events: &mut NodeEvents<'_>, path: &str) -> Result<(), ScanError> {
        while let Some((key, key_span)) = events.next_node()? {
            let name = match &key {
                Event::MappingEnd => return Ok(()),
                Event::Scalar(text, ..) => text.to_string(),
                // A mapping or sequence as key: no field of ours, and serde has refused it already.
                _ => return Ok(()),
            };
            let Some((value, value_span)) = events.next_node()? else { return Ok(()) };
            let child = if path.is_empty() { name } else { format!("{path}.{name}") };
            self.walk(events, &value, &value_span, child, Some(Position::of(&key_span)))?;
        }
        Ok(())
    }

    fn walk_sequence(&mut self, events: &mut NodeEvents<'_>, path: &str) -> Result<(), ScanError> {
        let mut index = 0_usize;
        while let Some((item, span)) = events.next_node()? {
            if matches!(item, Event::SequenceEnd) {
                return Ok(());
            }
            let mut child = path.to_owned();
            // Writing to a String cannot fail.
            let _ = write!(child, "[{index}]");
            self.walk(events, &item, &span, child, None)?;
            index += 1;
        }
        Ok(())
    }
}

/// Parser events without those that are no part of the data.
struct NodeEvents<'a>(Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>);

impl<'a> NodeEvents<'a> {
    fn next_node(&mut self) -> Result<Option<(Event<'a>, Span)>, ScanError> {
        loop {
            match self.0.next_event().transpose()? {
                None => return Ok(None),
                Some((event, span)) => match event {
                    Event::Scalar(..)
                    | Event::Alias(..)
                    | Event::MappingStart(..)
                    | Event::MappingEnd
                    | Event::SequenceStart(..)
                    | Event::SequenceEnd => return Ok(Some((event, span))),
                    _ => {}
                },
            }
        }
    }
}

/// `a.b[0].c` to `a.b[0]` to `a.b` to `a` to nothing.
fn parent(path: &str) -> Option<&str> {
    path.rfind(['.', '[']).map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# a router
hostname: edge
instances:
  - name: main
    localASN: 65001
    peers:
      - name: tor
        address: 192.0.2.1   # the switch
        families: [ipv4-unicast, ipv6-unicast]
";

    fn at(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn finds_scalars_items_and_collections() {
        let positions = FieldPositions::of(FILE);
        assert_eq!(positions.position("hostname"), at(2, 11));
        assert_eq!(positions.position("instances[0].localASN"), at(5, 15));
        assert_eq!(positions.position("instances[0].peers[0].address"), at(8, 18));
        assert_eq!(positions.position("instances[0].peers[0].families[1]"), at(9, 34));
        assert_eq!(positions.position("instances[0].peers"), at(6, 5));
    }

    #[test]
    fn a_missing_field_is_found_at_its_parent() {
        let positions = FieldPositions::of(FILE);
        assert_eq!(positions.position("instances[0].peers[0].peerASN"), at(7, 9));
        assert_eq!(positions.position("api.socket"), Position::START);
    }

    #[test]
    fn names_the_field_at_a_position() {
        let positions = FieldPositions::of(FILE);
        assert_eq!(positions.field_at(at(5, 15)), "instances[0].localASN");
        assert_eq!(positions.field_at(at(8, 20)), "instances[0].peers[0].address");
        assert_eq!(positions.mapping_at(at(5, 5)), "instances[0]");
    }

    #[test]
    fn a_broken_file_yields_what_is_before_the_error() {
        let positions = FieldPositions::of("hostname: edge\ninstances: [}\n");
        assert_eq!(positions.position("hostname"), at(1, 11));
    }
}
