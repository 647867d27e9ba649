//! FRR's JSON, read from 8.4 up to 10.x.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use rutter_lab::Frr;
use serde_json::Value;

use crate::oracle::Oracle;
use crate::seen::{SeenPath, Session, community_text};

impl Oracle for Frr {
    fn kind(&self) -> &'static str {
        "FRR"
    }

    fn session(&self, neighbor: IpAddr) -> Result<Session> {
        let shown = self.show_json(&format!("show bgp neighbors {neighbor} json"))?;
        let shown = &shown[neighbor.to_string()];
        let state = shown["bgpState"].as_str().with_context(|| format!("FRR has no neighbor {neighbor}"))?;
        let mut last_error = String::new();
        for key in
            ["lastResetDueTo", "lastNotificationReason", "lastErrorCodeSubcode", "lastShutdownDescription"]
        {
            if let Some(text) = shown[key].as_str() {
                last_error.push_str(text);
                last_error.push_str("; ");
            }
        }
        Ok(Session {
            established: state == "Established",
            state: state.to_owned(),
            incarnation: shown["connectionsEstablished"].to_string(),
            last_error,
        })
    }

    fn paths(&self, prefix: &str) -> Result<Vec<SeenPath>> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let shown = self.show_json(&format!("show bgp {family} unicast {prefix} json"))?;
        // A prefix that is not there answers with its best match or with `{}`.
        if shown["prefix"].as_str() != Some(prefix) {
            return Ok(Vec::new());
        }
        shown["paths"].as_array().into_iter().flatten().map(path).collect()
    }
}

fn path(shown: &Value) -> Result<SeenPath> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let words = |value: &Value| text(&value["string"]).split_whitespace().map(str::to_owned).collect();
    let as_path = match shown["aspath"]["string"].as_str() {
        Some("Local") | None => String::new(),
        Some(path) => path.to_owned(),
    };
    let communities = shown["community"]["list"].as_array().into_iter().flatten();
    let next_hops = shown["nexthops"].as_array().map(Vec::as_slice).unwrap_or_default();
    let global = next_hops.iter().find(|hop| hop["scope"] != "link-local").or_else(|| next_hops.first());
    let cluster_list = shown["clusterList"]["list"].as_array().into_iter().flatten();
    let aggregator = match (number(&shown["aggregatorAs"]), shown["aggregatorId"].as_str()) {
        (Some(asn), Some(address)) => Some((asn, address.parse()?)),
        _ => None,
    };
    Ok(SeenPath {
        as_path,
        origin: text(&shown["origin"]),
        next_hop: global.and_then(|hop| hop["ip"].as_str()).map(str::parse).transpose()?,
        med: number(&shown["metric"]),
        local_pref: number(&shown["locPrf"]),
        atomic_aggregate: shown["atomicAggregate"] == true,
        aggregator,
        communities: communities.map(|value| community(&text(value))).collect::<Result<_>>()?,
        large_communities: words(&shown["largeCommunity"]),
        extended_communities: words(&shown["extendedCommunity"]),
        originator_id: shown["originatorId"].as_str().map(str::parse).transpose()?,
        cluster_list: cluster_list.map(|value| Ok(text(value).parse()?)).collect::<Result<_>>()?,
        unknown: Vec::new(),
        from: shown["peer"]["peerId"]
            .as_str()
            .and_then(|peer| peer.parse().ok())
            .filter(|peer: &IpAddr| !peer.is_unspecified()),
        best: shown["bestpath"]["overall"] == true,
        multipath: shown["multipath"] == true,
    })
}

/// FRR writes well-known communities as names, in camel case.
fn community(shown: &str) -> Result<String> {
    let number = match shown {
        "noExport" => 0xffff_ff01,
        "noAdvertise" => 0xffff_ff02,
        "localAs" => 0xffff_ff03,
        "noPeer" => 0xffff_ff04,
        "blackhole" => 0xffff_029a,
        "gracefulShutdown" => 0xffff_0000,
        "acceptOwn" => 0xffff_0001,
        "llgrStale" => 0xffff_0006,
        "noLlgr" => 0xffff_0007,
        text if text.contains(':') => return Ok(text.to_owned()),
        text => bail!("FRR shows a community `{text}` that this reader does not know"),
    };
    Ok(community_text(number))
}
