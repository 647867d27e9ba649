//! Turns `show [ip] bgp <ipv4|ipv6> NEIGHBOR` into every sequence of words it stands for.
//!
//! Invariant: a grammar is written by us, so a wrong one is a failing test, not an error for the user.

/// One word of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, in lower case.
    Literal(&'static str),
    /// A value, named in capitals.
    Value(&'static str),
}

/// The words of a command, one after the other.
pub(super) type Sequence = Vec<Token>;

/// All sequences of a grammar: without brackets, choices taken, options both with and without.
pub(super) fn expand(grammar: &'static str) -> Vec<Sequence> {
    let mut sequences = vec![Vec::new()];
    let mut rest = grammar.trim_start();
    while !rest.is_empty() {
        let (choices, behind) = part(rest);
        sequences = sequences
            .iter()
            .flat_map(|before| {
                choices.iter().map(move |choice| [before.as_slice(), choice.as_slice()].concat())
            })
            .collect();
        rest = behind.trim_start();
    }
    sequences
}

/// The first word or bracket of a grammar as its choices, and what is behind it.
fn part(grammar: &'static str) -> (Vec<Sequence>, &'static str) {
    let (inside, behind, optional) = if let Some(opened) = grammar.strip_prefix('[') {
        let (inside, behind) = opened.split_once(']').unwrap_or((opened, ""));
        (inside, behind, true)
    } else if let Some(opened) = grammar.strip_prefix('<') {
        let (inside, behind) = opened.split_once('>').unwrap_or((opened, ""));
        (inside, behind, false)
    } else {
        let (word, behind) = grammar.split_once(' ').unwrap_or((grammar, ""));
        (word, behind, false)
    };
    let mut choices: Vec<Sequence> =
        inside.split('|').map(|choice| choice.split_whitespace().map(token).collect()).collect();
    if optional {
        choices.push(Vec::new());
    }
    (choices, behind)
}

fn token(word: &'static str) -> Token {
    if word.starts_with(|first: char| first.is_ascii_uppercase()) {
        Token::Value(word)
    } else {
        Token::Literal(word)
    }
}

#[cfg(test)]
mod tests {
    use super::{Token, expand};

    #[test]
    fn options_and_choices() {
        let lines = |grammar| -> Vec<String> {
            expand(grammar)
                .into_iter()
                .map(|sequence| {
                    let words = sequence.iter().map(|token| match token {
                        Token::Literal(word) => (*word).to_owned(),
                        Token::Value(name) => format!("<{name}>"),
                    });
                    words.collect::<Vec<_>>().join(" ")
                })
                .collect()
        };
        assert_eq!(lines("a [b] <c|d> X"), ["a b c <X>", "a b d <X>", "a c <X>", "a d <X>"]);
        assert_eq!(lines("a [b C]"), ["a b <C>", "a"]);
    }
}
