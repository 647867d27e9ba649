//! `rutterctl lbipam explain SERVICE`: every pool's answer, and what comes out.
//!
//! Invariant: a Service that is only supposed is put into a copy of what there is, with everybody else's claims in place.

use std::path::PathBuf;

use anyhow::{Context, bail};
use k8s_sync::snapshot::Snapshot;
use lbipam::ServiceKey;
use lbipam::explain::Explanation;

use super::objects::{Objects, read_files};
use super::{Misunderstood, Source, text};
use crate::{Cli, Format, indent, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// NAME or NAMESPACE/NAME of a Service; with -f only to choose one of several
    #[arg(required_unless_present = "file")]
    service: Option<String>,
    /// The namespace of the Service, if it is not written before its name
    #[arg(short = 'n', long = "service-namespace", value_name = "NAMESPACE")]
    service_namespace: Option<String>,
    /// A Service as it might be, in YAML or JSON; `-` reads standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

pub(crate) async fn run(cli: &Cli, question: &Question) -> anyhow::Result<()> {
    let named = question.named()?;
    let files: Vec<PathBuf> = question.file.iter().cloned().collect();
    let wanted = read_files(&files)?;
    let (key, supposed) = match &question.file {
        Some(file) => {
            let place = file.display().to_string();
            (one_of(&wanted, named.as_ref(), &place)?, Some(place))
        }
        None => (named.context("name a Service")?, None),
    };
    let mut objects = Objects::read(cli, &question.source, &wanted).await?;
    for service in wanted.services.values().filter_map(|service| service.ipam.as_ref()) {
        objects.world.suppose_service(service);
    }
    let explanation = match objects.world.explain(&key) {
        Some(explanation) => explanation,
        None if supposed.is_some() => Explanation::not_handled(key, "its type is not LoadBalancer"),
        None => {
            let kind = objects.type_of(&key)?;
            let standing = format!("its type is {kind}, not LoadBalancer");
            Explanation::not_handled(key, standing)
        }
    };
    let page = match cli.output {
        Format::Json => indent::json(&serde_json::to_string(&explanation)?),
        Format::Text => text::explanation(&explanation, supposed.as_deref()),
    };
    output::print(&page).context("cannot write the answer")
}

impl Question {
    fn named(&self) -> Result<Option<ServiceKey>, Misunderstood> {
        let Some(text) = &self.service else { return Ok(None) };
        let namespace = self.service_namespace.as_deref();
        match (text.split_once('/'), namespace) {
            (None, namespace) => Ok(Some(ServiceKey::new(namespace.unwrap_or("default"), text.as_str()))),
            (Some((_, name)), _) if name.is_empty() || name.contains('/') => {
                Err(Misunderstood(format!("{text:?} is no Service; write NAME or NAMESPACE/NAME")))
            }
            (Some((first, _)), Some(namespace)) if first != namespace => Err(Misunderstood(format!(
                "{text} names namespace {first} and -n names {namespace}; write one of them"
            ))),
            (Some((first, name)), _) => Ok(Some(ServiceKey::new(first, name))),
        }
    }
}

/// The Service that is meant of those in a file.
fn one_of(supposed: &Snapshot, named: Option<&ServiceKey>, place: &str) -> anyhow::Result<ServiceKey> {
    let there: Vec<ServiceKey> =
        supposed.services.keys().map(|name| ServiceKey::new(&*name.namespace, &*name.name)).collect();
    match (named, &there[..]) {
        (Some(named), _) if there.contains(named) => Ok(named.clone()),
        (None, [one]) => Ok(one.clone()),
        (_, []) => bail!("{place} has no Service"),
        (named, several) => {
            let known: Vec<String> = several.iter().map(ToString::to_string).collect();
            let which = match named {
                Some(named) => format!("no Service {named}; it has"),
                None => "several Services; name one of".to_owned(),
            };
            bail!("{place} has {which}: {}", known.join(", "))
        }
    }
}
