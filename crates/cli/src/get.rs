//! `get`: shows objects by name, or all that match.

use serde_json::Value;

use crate::{
    api_client::{ApiClient, JSON, RequestBuilder, TABLE},
    args::{Format, Get},
    output,
    report::{Failure, Report},
    resource::{Resource, RestMapper, targets},
    table::{Style, Table},
};

/// Objects per page of a list.
const PAGE_OBJECTS_MAX: &str = "500";

pub(crate) async fn run(api: &ApiClient, arguments: &Get, report: &mut Report<'_>) -> Result<(), Failure> {
    let wanted = resolve_targets(api, arguments, report).await?;
    match arguments.output {
        None | Some(Format::Wide) => tables(api, arguments, &wanted, report).await,
        Some(format) => objects(api, arguments, &wanted, format, report).await,
    }
}

/// A resource with the names to get; no names means all.
struct ResourceNames {
    resource: Resource,
    names: Vec<String>,
}

async fn resolve_targets(
    api: &ApiClient,
    arguments: &Get,
    report: &mut Report<'_>,
) -> Result<Vec<ResourceNames>, Failure> {
    let mut mapper = RestMapper::new(api);
    let mut wanted: Vec<ResourceNames> = Vec::new();
    for (word, name) in targets(&arguments.resource, &arguments.names)? {
        for resource in mapper.by_word(&word, report).await? {
            match wanted.iter_mut().find(|wanted| wanted.resource == resource) {
                Some(known) => known.names.extend(name.clone()),
                None => wanted.push(ResourceNames { resource, names: name.clone().into_iter().collect() }),
            }
        }
    }
    Ok(wanted)
}

async fn tables(
    api: &ApiClient,
    arguments: &Get,
    wanted: &[ResourceNames],
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let mut printed = 0;
    for ResourceNames { resource, names } in wanted {
        let mut table = Table::default();
        for part in fetch(api, arguments, resource, names, TABLE, report).await? {
            if part.get("kind").and_then(Value::as_str) != Some("Table") {
                return Err(Failure::Unreachable("the server returned no table; try -o yaml".to_owned()));
            }
            let part = serde_json::from_value(part)
                .map_err(|error| Failure::Unreachable(format!("the server's table cannot be decoded: {error}")))?;
            table.append(part);
        }
        if table.rows.is_empty() {
            continue;
        }
        if printed > 0 {
            writeln!(report.out)?;
        }
        let prefix = if wanted.len() > 1 { format!("{}/", resource.singular()) } else { String::new() };
        let style = Style {
            wide: arguments.output == Some(Format::Wide),
            namespaces: arguments.all_namespaces && resource.namespaced,
            no_headers: arguments.no_headers,
            prefix: &prefix,
        };
        table.print(&style, report.out)?;
        printed += 1;
    }
    // A missing name has been reported already.
    if printed == 0 && wanted.iter().all(|wanted| wanted.names.is_empty()) {
        let whole = arguments.all_namespaces || !wanted.iter().any(|wanted| wanted.resource.namespaced);
        let place = if whole { String::new() } else { format!(" in namespace {}", namespace(api, arguments)) };
        report.note(&format!("Nothing found{place}."))?;
    }
    Ok(())
}

async fn objects(
    api: &ApiClient,
    arguments: &Get,
    wanted: &[ResourceNames],
    format: Format,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for ResourceNames { resource, names } in wanted {
        for part in fetch(api, arguments, resource, names, JSON, report).await? {
            all.extend(items(resource, part).into_iter().map(|object| (resource, object)));
        }
    }
    if format == Format::Name {
        return all
            .iter()
            .try_for_each(|(resource, object)| Ok(writeln!(report.out, "{}", output::name(resource, object))?));
    }
    let single = matches!(wanted, [one] if one.names.len() == 1);
    let mut all: Vec<Value> = all.into_iter().map(|(_, object)| object).collect();
    let shown = match all.pop() {
        // The object was not found, which has been reported.
        None if single => return Ok(()),
        Some(object) if single => object,
        last => output::list(all.into_iter().chain(last).collect()),
    };
    if format == Format::Json { output::json(&shown, report.out) } else { output::yaml(&shown, report.out) }
}

/// The responses for one resource: one per name, or one per page. Errors of single names are reported, and the other
/// names are still requested.
async fn fetch(
    api: &ApiClient,
    arguments: &Get,
    resource: &Resource,
    names: &[String],
    accept: &'static str,
    report: &mut Report<'_>,
) -> Result<Vec<Value>, Failure> {
    let namespace = (!arguments.all_namespaces).then(|| namespace(api, arguments));
    if names.is_empty() {
        return pages(api, arguments, &resource.path(namespace, None), accept, report).await;
    }
    let mut answers = Vec::new();
    for name in names {
        let request = RequestBuilder::get(&resource.path(namespace, Some(name))).accept(accept);
        match api.send(request, report).await {
            Ok(answer) => answers.push(answer),
            Err(failure) => report.item_failed("", failure)?,
        }
    }
    Ok(answers)
}

async fn pages(
    api: &ApiClient,
    arguments: &Get,
    path: &str,
    accept: &'static str,
    report: &mut Report<'_>,
) -> Result<Vec<Value>, Failure> {
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let mut request = RequestBuilder::get(path).accept(accept).query("limit", PAGE_OBJECTS_MAX);
        for (name, value) in [("labelSelector", &arguments.selector), ("fieldSelector", &arguments.field_selector)] {
            request = value.iter().fold(request, |request, value| request.query(name, value));
        }
        if !next.is_empty() {
            request = request.query("continue", &next);
        }
        let page = api.send(request, report).await?;
        next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().to_owned();
        pages.push(page);
        if next.is_empty() {
            return Ok(pages);
        }
    }
}

/// The objects of a list, or the object itself. Adds `apiVersion` and `kind` to list items without them.
fn items(resource: &Resource, mut answer: Value) -> Vec<Value> {
    let Some(Value::Array(mut items)) = answer.get_mut("items").map(Value::take) else {
        return vec![answer];
    };
    for item in &mut items {
        if let Value::Object(item) = item {
            item.entry("apiVersion").or_insert_with(|| resource.group_version().into());
            item.entry("kind").or_insert_with(|| resource.kind.as_str().into());
        }
    }
    items
}

fn namespace<'a>(api: &'a ApiClient, arguments: &'a Get) -> &'a str {
    arguments.namespace.name.as_deref().unwrap_or(&api.namespace)
}
