//! The log of findings: each once when it appears and once when it is gone, however often the plan is made.

use k8s_sync::report::{Finding, Report, Severity};

/// Logs what is new in a report and what is no longer in it.
pub(crate) fn log_changes(before: &Report, now: &Report) {
    for finding in now.iter().filter(|finding| !before.contains(finding)) {
        log(finding, "");
    }
    for finding in before.iter().filter(|finding| !now.contains(finding)) {
        log(finding, "resolved: ");
    }
}

fn log(finding: &Finding, prefix: &str) {
    let reason = finding.reason.name();
    let object = finding.object.as_ref().map(ToString::to_string);
    let field = finding.field.as_deref();
    let place = finding.location.as_ref().map(ToString::to_string);
    let text = &finding.reason;
    // What is over is worth a line, not an alarm.
    let severity = if prefix.is_empty() { finding.severity() } else { Severity::Info };
    match severity {
        Severity::Error => tracing::error!(reason, object, field, place, "{prefix}{text}"),
        Severity::Warning => tracing::warn!(reason, object, field, place, "{prefix}{text}"),
        Severity::Info => tracing::info!(reason, object, field, place, "{prefix}{text}"),
    }
}
