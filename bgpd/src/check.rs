//! `bgpd --check`: whether a configuration file can be used, and what it would do to sessions.
//!
//! The plan comes from the running bgpd, if one answers on the socket; with `--against OLD` from a comparison of two files,
//! which knows no session and so says what each change costs at most. Nothing is changed either way.
//!
//! Invariant: no line of the answer holds a secret; what was not looked at is said to be so.

use std::path::Path;
use std::sync::Arc;

use rutter_api::client::{Client, ClientError};
use rutter_api::control::{Applied, Change, Effect};
use rutter_api::intent::Instance;

use crate::config::file::ConfigFile;
use crate::config::resolve::resolve;
use crate::daemon::{Failure, hostname, socket_path};
use crate::intents::FILE_OWNER;
use crate::logging;
use crate::options::Options;
use crate::sockopt::ao;
use crate::supervisor::{IntentError, plan_files};

/// Checks the configuration file and says on stdout what is to be said.
///
/// # Errors
/// [`Failure::Config`] with every line of what is wrong, [`Failure::Intent`] or [`Failure::Refused`] for a file that is
/// right and cannot be applied.
pub fn check(path: &Path, options: &Options) -> Result<(), Failure> {
    let file = ConfigFile::read(path)?;
    if let Some(level) = &file.log.level {
        logging::parse(level).map_err(|invalid| Failure::Option(invalid.to_string()))?;
    }
    let name = hostname(&file);
    for instance in &file.instances {
        resolve(instance, name.as_deref()).map_err(|source| Failure::Intent {
            file: path.to_owned(),
            source: IntentError::Resolve { instance: instance.name.clone(), source },
        })?;
    }
    let (peers, routes) = file.instances.iter().fold((0, 0), |(peers, routes), instance| {
        (peers + instance.peers.len(), routes + instance.routes.len())
    });
    let mut lines = vec![format!(
        "{}: OK ({} instances, {peers} peers, {routes} routes)",
        path.display(),
        file.instances.len()
    )];
    lines.extend(unsupported(&file.instances));
    match &options.against {
        Some(old) => {
            let before = ConfigFile::read(old)?;
            let applied = compare(old, &before, path, &file)?;
            lines.push(format!("from {} to {}, for sessions that are up:", old.display(), path.display()));
            lines.extend(plan_lines(&applied));
        }
        None => lines.extend(ask_running(path, &file, options)?),
    }
    #[expect(clippy::print_stdout, reason = "--check answers on stdout")]
    {
        println!("{}", lines.join("\n"));
    }
    Ok(())
}

/// Keys that this kernel cannot take: their sessions stay down.
fn unsupported(instances: &[Instance]) -> Vec<String> {
    let signed = instances.iter().flat_map(|instance| {
        let ranges = instance.dynamic_peers.iter().map(|dynamic| &dynamic.peer);
        instance
            .peers
            .iter()
            .chain(ranges)
            .filter(|peer| peer.tcp_ao.is_some())
            .map(|peer| format!("{}/{}", instance.name, peer.name))
    });
    let signed: Vec<String> = signed.collect();
    if signed.is_empty() || ao::is_supported() {
        return Vec::new();
    }
    vec![format!(
        "warning: this kernel has no TCP-AO (it takes Linux 6.7 or newer, built with CONFIG_TCP_AO): the sessions of {} \
         would stay down",
        signed.join(", ")
    )]
}

fn compare(old: &Path, before: &ConfigFile, path: &Path, after: &ConfigFile) -> Result<Applied, Failure> {
    let fail = |file: &Path| {
        let file = file.to_owned();
        move |source| Failure::Intent { file: file.clone(), source }
    };
    let instances = |file: &ConfigFile| file.instances.iter().cloned().map(Arc::new).collect::<Vec<_>>();
    plan_files(
        (&instances(before), hostname(before).as_deref()),
        (&instances(after), hostname(after).as_deref()),
    )
    .map_err(|(is_new, source)| if is_new { fail(path)(source) } else { fail(old)(source) })
}

fn ask_running(path: &Path, file: &ConfigFile, options: &Options) -> Result<Vec<String>, Failure> {
    let socket = socket_path(options, file);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::System { what: "start the event loop", source })?;
    let client = Client::new(&socket);
    let name = hostname(file);
    match runtime.block_on(client.plan_intent(FILE_OWNER, &file.intent(), name.as_deref())) {
        Ok(applied) => {
            let mut lines = vec![format!("the bgpd at {} would do this:", socket.display())];
            lines.extend(plan_lines(&applied));
            Ok(lines)
        }
        Err(ClientError::Unreachable { .. }) => Ok(vec![format!(
            "only the file was checked: no bgpd answers at {} (--socket PATH names another, --against OLD compares two files)",
            socket.display()
        )]),
        Err(error) => Err(Failure::Refused { file: path.to_owned(), reason: error.to_string() }),
    }
}

/// A plan for people: one line per change, and under it what each field costs.
fn plan_lines(plan: &Applied) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &plan.changes {
        lines.push(format!("  {change}"));
        for field in &change.fields {
            lines.push(format!("      {}: {} ({})", field.field, field.cost, field.why));
        }
    }
    for conflict in &plan.conflicts {
        lines.push(format!("  {conflict}"));
    }
    let resets = plan.changes.iter().filter(|change: &&Change| change.effect == Effect::SessionReset).count();
    lines.push(format!(
        "  {resets} session{} reset, {} peer{} not touched",
        if resets == 1 { "" } else { "s" },
        plan.unchanged_peers,
        if plan.unchanged_peers == 1 { "" } else { "s" },
    ));
    lines
}
