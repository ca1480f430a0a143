//! Output of objects as JSON, YAML, or a line with the result.

use std::io::Write;

use serde_json::{Value, json};

use crate::{
    args::{DryRun, ObjectFormat},
    report::{Failure, Report, printable},
    resource::Resource,
};

pub(crate) fn json(value: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(std::io::Error::from)?;
    Ok(writeln!(out)?)
}

pub(crate) fn yaml(value: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    let text = serde_saphyr::to_string(value).map_err(std::io::Error::other)?;
    Ok(out.write_all(text.as_bytes())?)
}

/// A `List` of several objects.
pub(crate) fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": items })
}

/// `ippool.ipam.miloapis.com/root`.
pub(crate) fn name(resource: &Resource, object: &Value) -> String {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    printable(&format!("{}/{name}", resource.full_name()))
}

/// Prints the result of a write in the requested format, or as one line with the verb and the allocated block.
pub(crate) fn print_result(
    resource: &Resource,
    object: &Value,
    verb: &str,
    format: Option<ObjectFormat>,
    dry_run: Option<DryRun>,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let line = name(resource, object);
    match format {
        Some(ObjectFormat::Json) => json(object, report.out),
        Some(ObjectFormat::Yaml) => {
            writeln!(report.out, "---")?;
            yaml(object, report.out)
        }
        Some(ObjectFormat::Name) => Ok(writeln!(report.out, "{line}")?),
        None => {
            let block = object.pointer("/status/allocatedCIDR").and_then(Value::as_str);
            let block = block.map(|block| format!(": {}", printable(block))).unwrap_or_default();
            Ok(writeln!(report.out, "{line} {verb}{}{block}", dry_run_note(dry_run))?)
        }
    }
}

pub(crate) fn dry_run_note(dry_run: Option<DryRun>) -> &'static str {
    match dry_run {
        Some(DryRun::Server) => " (server dry run)",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_round_trips() {
        let value = json!({
            "strings": ["10.0.0.0/8", "::", "::/0", "true", "no", "null", "~", "12", "0x1f", "1e3", "0o7", "1:30", "", " a ", "a: b", "- a", "# a", "{a}", "a\nb\n", "ü", "2026-12-01T00:00:00Z", "&a", "*a", "!a", "|", "\u{1b}"],
            "numbers": [0, -1, 24, 9_223_372_036_854_775_807_i64, 1.5],
            "empty": [{}, []],
            "others": [true, false, null],
        });
        let mut out = Vec::new();
        yaml(&value, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value, "{text}");
    }
}
