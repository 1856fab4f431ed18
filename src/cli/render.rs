//! Findings for people, and for the annotations of a workflow.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::compile::Report;
use crate::manifest::{Finding, Kind, Severity, Span};
use crate::source::directory::Texts;

/// Every finding with its source line, as rustc shows errors, and a summary.
pub(super) fn text(report: &Report, texts: &mut Texts, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for finding in &report.findings {
        let line = source_line(finding, texts);
        out += &renderer.render(&group(finding, line.as_ref()));
        out += "\n\n";
    }
    out += &load_balancers(report);
    out + &summary(report)
}

/// Which pool gave each LoadBalancer its address, and why; or why none did.
fn load_balancers(report: &Report) -> String {
    let mut out = String::new();
    for (service, told) in &report.load_balancers {
        for given in &told.addresses {
            let (ip, source, why) = (given.ip, &given.source, &given.why);
            out += &format!("Service {service}: {ip} of {source}, {why}\n");
        }
        for why in &told.missing {
            out += &format!("Service {service}: {why}\n");
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// A source line, and the part of it that is meant, in bytes.
struct SourceLine {
    text: String,
    number: usize,
    range: std::ops::Range<usize>,
}

fn source_line(finding: &Finding, texts: &mut Texts) -> Option<SourceLine> {
    let Span { line, column, length } = finding.span?;
    let text = texts.text(&finding.origin.file)?;
    let number = usize::try_from(line).ok()?;
    let text = text.lines().nth(number.checked_sub(1)?)?.to_owned();
    let text = if is_secret(finding) { without_value(&text) } else { text };
    let byte = |characters: u32| {
        let at = usize::try_from(characters).unwrap_or(usize::MAX);
        text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
    };
    let start = column.saturating_sub(1);
    let range = byte(start)..byte(start.saturating_add(length.max(1)));
    Some(SourceLine { text, number, range })
}

fn is_secret(finding: &Finding) -> bool {
    finding.object.as_ref().is_some_and(|object| object.kind == Kind::Secret)
}

/// A line of a Secret up to the colon: what follows is nobody's to see.
fn without_value(line: &str) -> String {
    match line.split_once(':') {
        Some((key, value)) if !value.trim().is_empty() => format!("{key}: …"),
        Some(_) => line.to_owned(),
        None => "…".to_owned(),
    }
}

fn group<'a>(finding: &'a Finding, line: Option<&'a SourceLine>) -> Vec<Group<'a>> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(title(finding)).id(finding.code.as_str());
    let mut group = match line {
        Some(line) => title.element(
            Snippet::source(line.text.as_str())
                .line_start(line.number)
                .path(&*finding.origin.file)
                .annotation(AnnotationKind::Primary.span(line.range.clone())),
        ),
        None => {
            let origin = annotate_snippets::Origin::path(&*finding.origin.file);
            if finding.origin.file.is_empty() {
                Group::with_title(title)
            } else {
                title.element(origin)
            }
        }
    };
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    vec![group]
}

fn title(finding: &Finding) -> String {
    match &finding.object {
        Some(object) => format!("{object}: {}", finding.message),
        None => finding.message.clone(),
    }
}

fn summary(report: &Report) -> String {
    let objects: usize = report.objects.values().sum();
    let kinds: Vec<String> =
        report.objects.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut of = counted(objects, "object");
    if objects > 0 {
        of += &format!(" ({})", kinds.join(", "));
    }
    let count =
        |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => format!("nothing is wrong in {of}\n"),
        (errors, 0) => format!("{} in {of}\n", counted(errors, "error")),
        (0, warnings) => format!("{} in {of}\n", counted(warnings, "warning")),
        (errors, warnings) => {
            format!("{}, {} in {of}\n", counted(errors, "error"), counted(warnings, "warning"))
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A workflow command of GitHub Actions (`::error file=…::message`).
pub(super) fn github(finding: &Finding) -> String {
    let command = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let span = finding.span.unwrap_or_else(|| Span {
        line: finding.origin.line.max(1),
        column: 1,
        length: 1,
    });
    let help = finding.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    format!(
        "::{command} file={},line={},col={},title={}::{}\n",
        property(&finding.origin.file),
        span.line,
        span.column,
        finding.code,
        message(&(title(finding) + &help)),
    )
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Code, Origin};

    #[test]
    fn workflow_commands_are_escaped() {
        let origin = Origin { file: "a,b:c.yaml".into(), line: 3, ..Origin::default() };
        let finding = Finding::error(Code::BadValue, &origin, "100% wrong\nreally").help("mend it");
        assert_eq!(
            github(&finding),
            "::error file=a%2Cb%3Ac.yaml,line=3,col=1,title=RT007::100%25 wrong%0Areally%0Ahelp: mend it\n"
        );
    }

    #[test]
    fn a_report_of_nothing_lists_no_kinds() {
        assert_eq!(summary(&Report::default()), "nothing is wrong in 0 objects\n");
    }

    #[test]
    fn values_of_secrets_are_never_shown() {
        assert_eq!(without_value("  tls.key: c2VjcmV0"), "  tls.key: …");
        assert_eq!(without_value("    c2VjcmV0"), "…");
        assert_eq!(without_value("data:"), "data:");
    }
}
