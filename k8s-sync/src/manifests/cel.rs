//! The CEL rules of the CRDs, each with its meaning in Rust and advice that the API server does not give.
//!
//! A rule is found by its exact text. Invariant: every rule of every schema has a row here; a test walks the schemas.

use serde_json::Value;

/// One rule: its text in the CRD, whether it holds, and what to write when it does not.
struct Rule {
    text: &'static str,
    holds: fn(&Value) -> bool,
    advice: fn(&Value) -> String,
}

const RULES: &[Rule] = &[
    Rule {
        text: "self.keepAliveTimeSeconds <= self.holdTimeSeconds",
        holds: |timers| timers["keepAliveTimeSeconds"].as_i64() <= timers["holdTimeSeconds"].as_i64(),
        advice: timers_advice,
    },
    Rule {
        text: "self.advertisementType != 'Service' || has(self.service)",
        holds: |advertisement| {
            advertisement["advertisementType"] != "Service" || has(advertisement, "service")
        },
        advice: |_| "; write service.addresses, e.g. [LoadBalancerIP]".to_owned(),
    },
    Rule {
        text: "self.advertisementType == 'Service' || !has(self.service)",
        holds: |advertisement| {
            advertisement["advertisementType"] == "Service" || !has(advertisement, "service")
        },
        advice: |_| "; remove it, or write advertisementType: Service".to_owned(),
    },
    Rule {
        text: "self.advertisementType != 'Interface' || has(self.interface)",
        holds: |advertisement| {
            advertisement["advertisementType"] != "Interface" || has(advertisement, "interface")
        },
        advice: |_| "; write interface.name".to_owned(),
    },
    Rule {
        text: "self.advertisementType == 'Interface' || !has(self.interface)",
        holds: |advertisement| {
            advertisement["advertisementType"] == "Interface" || !has(advertisement, "interface")
        },
        advice: |_| "; remove it, or write advertisementType: Interface".to_owned(),
    },
    Rule {
        text: "self.advertisementType != 'PodCIDR' || !has(self.selector)",
        holds: |advertisement| {
            advertisement["advertisementType"] != "PodCIDR" || !has(advertisement, "selector")
        },
        advice: |_| "; remove it: PodCIDR always means the pod CIDRs of the node itself".to_owned(),
    },
    Rule {
        text: "self == oldSelf",
        // About changes of one object; a server knows what it was before, files do not.
        holds: |_| true,
        advice: |_| String::new(),
    },
];

/// Advice if the rule does not hold for this value. A rule without a row counts as holding; the test forbids it.
pub(crate) fn broken(rule: &str, value: &Value) -> Option<String> {
    let rule = RULES.iter().find(|row| row.text == rule)?;
    (!(rule.holds)(value)).then(|| (rule.advice)(value))
}

fn has(value: &Value, field: &str) -> bool {
    value.get(field).is_some()
}

/// The defaults are filled in before the rule compares, so one field alone can break it: name the pair to write.
fn timers_advice(timers: &Value) -> String {
    let (keep_alive, hold) = (&timers["keepAliveTimeSeconds"], &timers["holdTimeSeconds"]);
    let hold = hold.as_i64().unwrap_or_default();
    format!(
        " (keepAliveTimeSeconds {keep_alive}, holdTimeSeconds {hold}; absent ones default to 30 and 90); write both, \
         e.g. holdTimeSeconds: {hold} and keepAliveTimeSeconds: {}",
        (hold / 3).max(1)
    )
}

#[cfg(test)]
mod tests {
    use rutter_crds::schema::{Kind, Version};
    use serde_json::json;

    use super::*;

    fn rules_of(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                for rule in
                    map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
                {
                    found.push(rule["rule"].as_str().unwrap().to_owned());
                }
                map.values().for_each(|value| rules_of(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| rules_of(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_rule_of_the_schemas_has_a_row() {
        let mut found = Vec::new();
        for (kind, version) in
            Kind::ALL.into_iter().flat_map(|kind| Version::ALL.map(|version| (kind, version)))
        {
            if let Some(schema) = kind.open_api_v3(version) {
                rules_of(&schema, &mut found);
            }
        }
        for rule in &found {
            assert!(RULES.iter().any(|row| row.text == rule), "no row for {rule}");
        }
        for row in RULES {
            assert!(found.iter().any(|rule| rule == row.text), "no schema has {}", row.text);
        }
    }

    #[test]
    fn the_timers_rule_names_the_pair_to_write() {
        let advice =
            broken(RULES[0].text, &json!({"holdTimeSeconds": 15, "keepAliveTimeSeconds": 30})).unwrap();
        assert!(advice.ends_with("e.g. holdTimeSeconds: 15 and keepAliveTimeSeconds: 5"), "{advice}");
        assert_eq!(broken(RULES[0].text, &json!({"holdTimeSeconds": 90, "keepAliveTimeSeconds": 30})), None);
    }
}
