//! The log of findings: each once when it appears and once when it is gone, however often they are computed.

use crate::report::{Finding, Report, Severity};

/// Logs what is new in a report and what is no longer in it.
pub fn log_changes(before: &Report, now: &Report) {
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use crate::report::Reason;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn once_when_it_appears_and_once_when_it_is_gone() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let mut report = Report::default();
        report.add(Finding::at("a.yaml", 3, Reason::Syntax { error: "odd".to_owned() }));
        tracing::subscriber::with_default(subscriber, || {
            log_changes(&Report::default(), &report);
            log_changes(&report, &report);
            log_changes(&report, &Report::default());
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("Syntax").count(), 2, "{text}");
        assert_eq!(text.matches("ERROR").count(), 1, "{text}");
        assert!(text.contains("resolved: odd") && text.contains("a.yaml:3"), "{text}");
    }
}
