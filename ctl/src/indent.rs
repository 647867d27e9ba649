//! JSON for people: one key per line, in the order bgpd sent them.
//!
//! It works on the text, because reading it into a value and writing that would sort the keys of every object.
//!
//! Invariant: only blanks between tokens change; what is not JSON comes out as it went in.

/// Indents a JSON text by two blanks per level and ends it with a newline.
pub(crate) fn json(text: &str) -> String {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut level = 0;
    let mut opened = false;
    let mut string = InString::No;
    for character in text.chars() {
        if string != InString::No {
            string = string.after(character);
            out.push(character);
            continue;
        }
        if character.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(character, '}' | ']');
        if closes {
            level -= 1;
        }
        if opened != closes {
            // The first thing inside a bracket, or the bracket behind the last one.
            new_line(&mut out, level);
        }
        opened = false;
        out.push(character);
        match character {
            '{' | '[' => {
                level += 1;
                opened = true;
            }
            ',' => new_line(&mut out, level),
            ':' => out.push(' '),
            '"' => string = InString::Yes,
            _ => {}
        }
    }
    out.push('\n');
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InString {
    No,
    Yes,
    Escaped,
}

impl InString {
    fn after(self, character: char) -> Self {
        match (self, character) {
            (Self::Yes, '\\') => Self::Escaped,
            (Self::Yes, '"') => Self::No,
            _ => Self::Yes,
        }
    }
}

fn new_line(out: &mut String, level: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", level));
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn keys_keep_their_order() {
        let text = r#"{"b":[1,{"a":"x, {\"y\": \\"}],"a":{},"c":[],"d":[[]],"e":null}"#;
        let indented = r#"{
  "b": [
    1,
    {
      "a": "x, {\"y\": \\"
    }
  ],
  "a": {},
  "c": [],
  "d": [
    []
  ],
  "e": null
}
"#;
        assert_eq!(json(text), indented);
        assert_eq!(json(indented), indented);
    }

    #[test]
    fn scalars_and_other_things() {
        assert_eq!(json("3"), "3\n");
        assert_eq!(json("[]"), "[]\n");
        assert_eq!(json("{ }"), "{}\n");
        assert_eq!(json("% no JSON"), "% no JSON");
    }
}
