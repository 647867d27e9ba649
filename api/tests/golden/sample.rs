//! Reads the captured outputs.

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/frr-10.3").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A sample's JSON as one of our types.
pub(crate) fn value<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&read(&format!("{name}.json")))
        .unwrap_or_else(|error| panic!("{name}.json: {error}"))
}

/// A sample's text without the prompt and the command in its first line.
pub(crate) fn text(name: &str) -> String {
    let whole = read(&format!("{name}.txt"));
    whole.split_once('\n').expect("a first line").1.to_owned()
}

/// The commands of a sample that holds several, by command.
pub(crate) fn texts(name: &str) -> Vec<(String, String)> {
    let whole = read(&format!("{name}.txt"));
    whole
        .split("dut# ")
        .skip(1)
        .map(|part| part.split_once('\n').expect("a command"))
        .map(|(command, output)| (command.to_owned(), output.to_owned()))
        .collect()
}

/// Our type keeps every key and value of the sample, and adds none.
pub(crate) fn assert_roundtrip<T: DeserializeOwned + Serialize>(name: &str) {
    let sample: Value = value(name);
    let ours = serde_json::to_value(value::<T>(name)).expect("JSON");
    if sample != ours {
        let mut differences = Vec::new();
        compare("", &sample, &ours, &mut differences);
        panic!("{name}.json:\n{}", differences.join("\n"));
    }
}

fn compare(at: &str, sample: &Value, ours: &Value, out: &mut Vec<String>) {
    match (sample, ours) {
        (Value::Object(theirs), Value::Object(mine)) => {
            for (key, value) in theirs {
                match mine.get(key) {
                    Some(own) => compare(&format!("{at}/{key}"), value, own, out),
                    None => out.push(format!("{at}/{key}: FRR has {value}, we have nothing")),
                }
            }
            for key in mine.keys().filter(|key| !theirs.contains_key(*key)) {
                out.push(format!("{at}/{key}: only we have it"));
            }
        }
        (Value::Array(theirs), Value::Array(mine)) if theirs.len() == mine.len() => {
            for (index, (value, own)) in theirs.iter().zip(mine).enumerate() {
                compare(&format!("{at}/{index}"), value, own, out);
            }
        }
        _ if sample != ours => out.push(format!("{at}: FRR has {sample}, we have {ours}")),
        _ => {}
    }
}

/// Line by line, so that a difference can be read.
pub(crate) fn assert_text(name: &str, ours: &str, theirs: &str) {
    let (mine, sample): (Vec<_>, Vec<_>) = (ours.split('\n').collect(), theirs.split('\n').collect());
    for (index, (own, line)) in mine.iter().zip(&sample).enumerate() {
        assert_eq!(own, line, "{name}: line {} differs; ours is on the left", index + 1);
    }
    assert_eq!(mine.len(), sample.len(), "{name}: one has more lines:\n{ours}");
}
