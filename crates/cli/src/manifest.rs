//! Objects from YAML and JSON files; lists are split into their items.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    api_client::ApiClient,
    args::Namespace,
    report::{Failure, Report, printable},
    resource::{Resource, RestMapper},
};

/// An object to send, with its destination.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The file that contains the object.
    file: String,
    pub(crate) object: Value,
    pub(crate) resource: Resource,
    pub(crate) namespace: String,
}

impl Manifest {
    /// The name; empty if the server generates it.
    pub(crate) fn name(&self) -> &str {
        self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// File and object, for messages.
    pub(crate) fn label(&self) -> String {
        format!("{}: {}/{}", self.file, self.resource.singular(), printable(self.name()))
    }

    pub(crate) fn collection_path(&self) -> String {
        self.resource.path(Some(&self.namespace), None)
    }

    pub(crate) fn object_path(&self) -> String {
        self.resource.path(Some(&self.namespace), Some(self.name()))
    }
}

/// Reads all files and resolves the resource of each object. Returns `None` if any of them is invalid, after reporting
/// all errors, so that either all objects are sent or none.
pub(crate) async fn load(
    api: &ApiClient,
    files: &[PathBuf],
    namespace: &Namespace,
    report: &mut Report<'_>,
) -> Result<Option<Vec<Manifest>>, Failure> {
    let mut mapper = RestMapper::new(api);
    let (mut manifests, mut all_well) = (Vec::new(), true);
    for file in expand(files)? {
        let name = file.display().to_string();
        let objects = match read(&file).and_then(|text| parse(&text)) {
            Ok(objects) => objects,
            Err(error) => {
                report.item_failed(&name, Failure::InvalidInput(error))?;
                all_well = false;
                continue;
            }
        };
        for object in objects {
            match resolve_resource(api, &mut mapper, &name, object, namespace, report).await {
                Ok(manifest) => manifests.push(manifest),
                Err(failure) => {
                    report.item_failed(&name, failure)?;
                    all_well = false;
                }
            }
        }
    }
    Ok(all_well.then_some(manifests))
}

async fn resolve_resource(
    api: &ApiClient,
    mapper: &mut RestMapper<'_>,
    file: &str,
    object: Value,
    namespace: &Namespace,
    report: &mut Report<'_>,
) -> Result<Manifest, Failure> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let needed = |pointer: &str| {
        let found = text(pointer).filter(|value| !value.is_empty());
        found.ok_or_else(|| Failure::InvalidInput(format!("an object has no {}", pointer.trim_start_matches('/'))))
    };
    let resource = mapper.by_kind(needed("/apiVersion")?, needed("/kind")?, report).await?;
    let namespace = match (text("/metadata/namespace"), namespace.name.as_deref()) {
        (Some(own), Some(wanted)) if own != wanted && resource.namespaced => {
            let text = format!("an object has namespace {own:?}, which differs from the requested {wanted:?}");
            return Err(Failure::InvalidInput(text));
        }
        (Some(namespace), _) | (None, Some(namespace)) => namespace.to_owned(),
        (None, None) => api.namespace.clone(),
    };
    Ok(Manifest { file: file.to_owned(), namespace, resource, object })
}

/// Lists the files of directories in order of name. A file given explicitly may have any name.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(
                directory(path).map_err(|error| Failure::InvalidInput(format!("{}: {error}", path.display())))?,
            );
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| {
        file.is_file() && file.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
    });
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, String> {
    let text = if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    text.map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Vec<Value>, String> {
    // The YAML parser accepts most JSON, but not concatenated values.
    let documents = if text.trim_start().starts_with('{') {
        let stream = serde_json::Deserializer::from_str(text).into_iter();
        stream.collect::<Result<Vec<Value>, _>>().map_err(|error| error.to_string())
    } else {
        serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
    };
    // If it is not JSON, it is parsed as YAML, because a YAML flow mapping also begins with a brace.
    let documents = documents.or_else(|error| serde_saphyr::from_multiple(text).map_err(|_| error))?;
    let mut objects = Vec::new();
    documents.into_iter().try_for_each(|document| flatten(document, &mut objects))?;
    if objects.is_empty() {
        return Err("the file contains no object".to_owned());
    }
    Ok(objects)
}

fn flatten(document: Value, objects: &mut Vec<Value>) -> Result<(), String> {
    let is_list = document.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match document {
        Value::Object(mut list) if is_list && list.get("items").is_some_and(Value::is_array) => {
            let items =
                list.remove("items").map(Vec::<Value>::deserialize).transpose().map_err(|error| error.to_string())?;
            items.unwrap_or_default().into_iter().try_for_each(|item| flatten(item, objects))
        }
        Value::Object(_) => {
            objects.push(document);
            Ok(())
        }
        Value::Null => Ok(()),
        _ => Err("a document is not an object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_parsed_and_lists_split() {
        for (text, expected) in [
            ("kind: A\n", Some(json!([{ "kind": "A" }]))),
            ("# nothing\n---\nkind: A\n---\n---\nkind: B\n...\n", Some(json!([{ "kind": "A" }, { "kind": "B" }]))),
            ("{\"kind\":\"A\"}", Some(json!([{ "kind": "A" }]))),
            ("{\"kind\":\"A\"}\n{\"kind\":\"B\"}", Some(json!([{ "kind": "A" }, { "kind": "B" }]))),
            ("{kind: A, n: 24}", Some(json!([{ "kind": "A", "n": 24 }]))),
            (
                "kind: List\nitems: [{kind: A}, {kind: IPPoolList, items: [{kind: B}]}]",
                Some(json!([{ "kind": "A" }, { "kind": "B" }])),
            ),
            (
                "kind: A\nspec: {cidr: 10.0.0.0/8, yes: \"no\", v6: \"::/0\"}",
                Some(json!([{ "kind": "A", "spec": { "cidr": "10.0.0.0/8", "yes": "no", "v6": "::/0" } }])),
            ),
            ("", None),
            ("---\n", None),
            ("- kind: A", None),
            ("text", None),
            ("kind: A\nkind: B", None),
            ("{\"kind\":", None),
            ("kind: [", None),
        ] {
            assert_eq!(parse(text).ok().map(Value::Array), expected, "{text:?}");
        }
    }

    #[test]
    fn directories_are_read_in_order_of_name() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", "c.yml", "readme.md"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        fs::create_dir(directory.path().join("d.yaml")).unwrap();
        let files = expand(&[directory.path().to_owned(), directory.path().join("readme.md")]).unwrap();
        let names: Vec<&str> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
        assert_eq!(names, ["a.json", "b.yaml", "c.yml", "readme.md"]);
    }
}
