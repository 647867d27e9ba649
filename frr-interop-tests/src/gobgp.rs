//! GoBGP's JSON (`gobgp ... -j`), whose attributes are numbered as on the wire.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use rutter_lab::GoBgp;
use serde_json::Value;

use crate::oracle::Oracle;
use crate::seen::{SeenPath, Session, UnknownAttribute, community_text};

/// `session_state` of an established session.
const ESTABLISHED: u64 = 6;

impl Oracle for GoBgp {
    fn kind(&self) -> &'static str {
        "GoBGP"
    }

    fn session(&self, neighbor: IpAddr) -> Result<Session> {
        let shown = self.json(&["neighbor"])?;
        let shown = shown
            .as_array()
            .into_iter()
            .flatten()
            .find(|peer| peer["conf"]["neighbor_address"] == neighbor.to_string().as_str())
            .with_context(|| format!("GoBGP has no neighbor {neighbor}"))?;
        let state = &shown["state"]["session_state"];
        Ok(Session {
            established: state.as_u64() == Some(ESTABLISHED),
            state: state.to_string(),
            incarnation: shown["timers"]["state"]["uptime"].to_string(),
            last_error: [&shown["state"]["disconnect_reason"], &shown["state"]["disconnect_message"]]
                .into_iter()
                .filter(|value| !value.is_null())
                .map(Value::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        })
    }

    fn paths(&self, prefix: &str) -> Result<Vec<SeenPath>> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let shown = self.json(&["global", "rib", "-a", family])?;
        shown[prefix].as_array().into_iter().flatten().map(path).collect()
    }
}

fn path(shown: &Value) -> Result<SeenPath> {
    let mut path = SeenPath {
        // GoBGP 3 calls it otherwise.
        from: [&shown["peer-address"], &shown["neighbor-ip"]]
            .into_iter()
            .find_map(Value::as_str)
            .map(str::parse)
            .transpose()?,
        best: shown["best"] == true,
        ..SeenPath::default()
    };
    for attribute in shown["attrs"].as_array().into_iter().flatten() {
        read(&mut path, attribute).with_context(|| format!("reading GoBGP's attribute {attribute}"))?;
    }
    Ok(path)
}

fn read(path: &mut SeenPath, attribute: &Value) -> Result<()> {
    let value = &attribute["value"];
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let address = |value: &Value| -> Result<Ipv4Addr> { Ok(value.as_str().context("no address")?.parse()?) };
    match attribute["type"].as_u64().context("no type")? {
        1 => {
            let names = ["IGP", "EGP", "incomplete"];
            let origin = value.as_u64().and_then(|index| names.get(usize::try_from(index).ok()?));
            path.origin = (*origin.context("no such origin")?).to_owned();
        }
        2 => path.as_path = as_path(&attribute["as_paths"]),
        3 | 14 => path.next_hop = attribute["nexthop"].as_str().map(str::parse).transpose()?,
        4 => path.med = number(&attribute["metric"]),
        5 => path.local_pref = number(value),
        6 => path.atomic_aggregate = true,
        7 => {
            path.aggregator =
                Some((number(&attribute["as"]).context("no ASN")?, address(&attribute["address"])?))
        }
        8 => {
            let communities = list(&attribute["communities"]);
            path.communities = communities.iter().filter_map(number).map(community_text).collect();
        }
        9 => path.originator_id = Some(address(value)?),
        10 => path.cluster_list = list(value).iter().map(address).collect::<Result<_>>()?,
        16 => path.extended_communities = list(value).iter().map(extended_community).collect(),
        32 => {
            let text =
                |item: &Value| format!("{}:{}:{}", item["ASN"], item["LocalData1"], item["LocalData2"]);
            path.large_communities = list(value).iter().map(text).collect();
        }
        code => {
            let bytes = value.as_str().map(base64).unwrap_or_default();
            let flags = attribute["flags"].as_u64().and_then(|flags| u8::try_from(flags).ok());
            path.unknown.push(UnknownAttribute { code: u8::try_from(code)?, flags, value: bytes });
        }
    }
    Ok(())
}

fn as_path(segments: &Value) -> String {
    let mut parts = Vec::new();
    for segment in segments.as_array().into_iter().flatten() {
        let asns: Vec<String> =
            segment["asns"].as_array().into_iter().flatten().map(Value::to_string).collect();
        parts.push(if segment["segment_type"] == 1 {
            format!("{{{}}}", asns.join(","))
        } else {
            asns.join(" ")
        });
    }
    parts.join(" ")
}

fn extended_community(shown: &Value) -> String {
    let kind = match shown["subtype"].as_u64() {
        Some(2) => "RT".to_owned(),
        Some(3) => "SoO".to_owned(),
        other => format!("{other:?}"),
    };
    format!("{kind}:{}", shown["value"].as_str().unwrap_or_default())
}

/// Go marshals bytes as base64.
fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0u32, 0);
    for digit in text.bytes().filter_map(|byte| alphabet.iter().position(|known| *known == byte)) {
        held = (held << 6) | u32::try_from(digit).unwrap_or_default();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).unwrap_or_default());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        assert_eq!(base64("Zm9vYmE="), b"fooba");
        assert_eq!(base64("AQID"), [1, 2, 3]);
    }
}
