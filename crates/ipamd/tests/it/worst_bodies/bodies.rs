//! The most expensive requests of each kind: as many items as fit into a given number of bytes. Nearly all are sent by
//! a user with the role `edit` in one namespace.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::API;

const CORE: &str = "/api/v1/namespaces/default";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// The user with the role `edit` in the namespace `default`.
pub const EDITOR: &str = "editor";
/// The user with the role `admin` in that namespace.
pub const ADMIN: &str = "admin";

/// The user with all permissions, like a controller.
pub const OPERATOR: &str = "operator";

/// One request, and the requests that must precede it.
pub struct Shot {
    pub method: Method,
    pub path: String,
    pub media: &'static str,
    pub user: &'static str,
    pub body: Bytes,
    pub headers: Vec<(&'static str, String)>,
    pub before: Vec<Shot>,
}

impl Shot {
    fn new(method: Method, path: impl Into<String>, media: &'static str, body: impl Into<Bytes>) -> Self {
        let (path, body) = (path.into(), body.into());
        Self { method, path, media, user: EDITOR, body, headers: Vec::new(), before: Vec::new() }
    }

    fn post(path: &str, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, path, JSON, body)
    }

    fn after(mut self, before: Shot) -> Self {
        self.before.push(before);
        self
    }

    fn by(self, user: &'static str) -> Self {
        Self { user, ..self }
    }

    fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub fn request(&self) -> Request<Bytes> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        request = request.header("impersonate-user", self.user).header("content-type", self.media);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(self.body.clone()).unwrap()
    }

    /// The length in bytes of the request and of those that precede it, whose objects its response may include.
    pub fn shown_bytes(&self) -> usize {
        self.bytes() + self.before.iter().map(Shot::bytes).sum::<usize>()
    }

    /// The length in bytes of the parts of the request that its sender chooses.
    pub fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        self.path.len() + headers + self.body.len()
    }
}

/// Makes a request for an object with this name, with a body of this number of bytes.
pub type Make = fn(usize, &str) -> Shot;

/// As many items as fit into `bytes` bytes, separated by commas.
fn fill(bytes: usize, mut item: impl FnMut(usize) -> String) -> String {
    let mut out = String::with_capacity(bytes + 64);
    for n in 0.. {
        let next = item(n);
        if out.len() + next.len() + 1 > bytes {
            break;
        }
        if n > 0 {
            out.push(',');
        }
        out.push_str(&next);
    }
    out
}

/// A short text that is unique for each number.
fn short(n: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let mut rest = n;
    let mut out = String::new();
    loop {
        out.push(char::from(LETTERS[rest % LETTERS.len()]));
        rest /= LETTERS.len();
        if rest == 0 {
            return out;
        }
    }
}

fn config_map(name: &str) -> String {
    format!("{CORE}/configmaps/{name}")
}

/// A ConfigMap with this additional metadata.
fn with_metadata(name: &str, metadata: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}",{metadata}}}}}"#)
}

fn create_map(body: String) -> Shot {
    Shot::post(&format!("{CORE}/configmaps"), body)
}

/// The request that creates a ConfigMap in advance.
fn there(name: &str, rest: &str) -> Shot {
    create_map(format!(r#"{{"metadata":{{"name":"{name}"}}{rest}}}"#))
}

fn patch(name: &str, media: &'static str, body: String) -> Shot {
    Shot::new(Method::PATCH, config_map(name), media, body).after(there(name, ""))
}

fn apply(name: &str, body: String) -> Shot {
    Shot::new(Method::PATCH, format!("{}?fieldManager=m", config_map(name)), APPLY, body)
}

fn role(name: &str, rules: &str) -> Shot {
    Shot::post(&format!("{RBAC}/roles"), format!(r#"{{"metadata":{{"name":"{name}"}},"rules":[{rules}]}}"#)).by(ADMIN)
}

fn claim(name: &str, spec: &str) -> Shot {
    Shot::post(
        &format!("{API}/namespaces/default/ipclaims"),
        format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{{spec}}}}}"#),
    )
}

fn a_claim(name: &str) -> Shot {
    claim(name, r#""poolRef":{"name":"root"},"prefixLength":32"#)
}

fn claim_status(name: &str, conditions: &str) -> Shot {
    let path = format!("{API}/namespaces/default/ipclaims/{name}/status");
    Shot::new(Method::PATCH, path, MERGE, format!(r#"{{"status":{{"conditions":[{conditions}]}}}}"#))
        .by(OPERATOR)
        .after(a_claim(name))
}

fn condition(kind: &str) -> String {
    format!(
        r#"{{"type":"{kind}","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"R","message":""}}"#
    )
}

fn owner(uid: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"K","name":"n","uid":"{uid}"}}"#)
}

fn entry(manager: &str, fields: &str) -> String {
    format!(
        r#"{{"manager":"{manager}","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{{{fields}}}}}"#
    )
}

fn operations(bytes: usize, mut operation: impl FnMut(usize) -> Value) -> String {
    let mut left = 10_000;
    let all = fill(bytes, |n| {
        left -= 1;
        if left == 0 { " ".repeat(bytes) } else { operation(n).to_string() }
    });
    format!("[{all}]")
}

/// Metadata that any object can have.
pub const METADATA: &[(&str, Make)] = &[
    ("owners that all are controllers", |bytes, name| {
        let owners = fill(bytes, |n| format!(r#"{{"uid":"{n:05}","controller":true}}"#));
        create_map(with_metadata(name, &format!(r#""ownerReferences":[{owners}]"#)))
    }),
    ("owners, dry run", |bytes, name| {
        let owners = fill(bytes.min(170_000), |n| format!(r#"{{"uid":"{n:05}","controller":true}}"#));
        let body = with_metadata(name, &format!(r#""ownerReferences":[{owners}]"#));
        Shot::post(&format!("{CORE}/configmaps?dryRun=All"), body)
    }),
    ("owners, as many as there may be", |bytes, name| {
        let pad = "x".repeat(bytes / 1000 - 100);
        let owners: Vec<String> = (0..1000).map(|n| owner(&format!("{n}{pad}"))).collect();
        create_map(with_metadata(name, &format!(r#""ownerReferences":[{}]"#, owners.join(","))))
    }),
    ("owners, as many as there may be, within the memory of an object", |bytes, name| {
        let pad = "x".repeat(bytes.min(1_400_000) / 1000 - 100);
        let owners: Vec<String> = (0..1000).map(|n| owner(&format!("{n}{pad}"))).collect();
        create_map(with_metadata(name, &format!(r#""ownerReferences":[{}]"#, owners.join(","))))
    }),
    ("the same owner again and again", |bytes, name| {
        let owners = fill(bytes.min(60_000), |n| owner(&short(n % 400)));
        create_map(with_metadata(name, &format!(r#""ownerReferences":[{owners}]"#)))
    }),
    ("finalizers", |bytes, name| {
        let finalizers = fill(bytes, |n| format!("\"{}\"", short(n)));
        create_map(with_metadata(name, &format!(r#""finalizers":[{finalizers}]"#)))
    }),
    ("finalizers, long and malformed", |bytes, name| {
        let finalizers: Vec<String> =
            (0..1000).map(|n| format!("\"-{n}{}\"", "\\\\".repeat(bytes / 2000 - 6))).collect();
        create_map(with_metadata(name, &format!(r#""finalizers":[{}]"#, finalizers.join(","))))
    }),
    ("finalizers of an update", |bytes, name| {
        let finalizers = fill(bytes, |n| format!("\"x/{}\"", short(n)));
        let body = with_metadata(name, &format!(r#""finalizers":[{finalizers}]"#));
        let before: Vec<String> = (0..1000).map(|n| format!("\"x/{}\"", short(n))).collect();
        let before = with_metadata(name, &format!(r#""finalizers":[{}]"#, before.join(",")));
        Shot::new(Method::PUT, config_map(name), JSON, body).after(create_map(before))
    }),
    ("labels", |bytes, name| {
        let labels = fill(bytes, |n| format!(r#""{}":"""#, short(n)));
        create_map(with_metadata(name, &format!(r#""labels":{{{labels}}}"#)))
    }),
    ("labels, long and malformed", |bytes, name| {
        let labels: Vec<String> =
            (0..1000).map(|n| format!(r#""{n}":"{}""#, "\\u0001".repeat(bytes / 6000 - 2))).collect();
        create_map(with_metadata(name, &format!(r#""labels":{{{}}}"#, labels.join(","))))
    }),
    ("annotations", |bytes, name| {
        let annotations = fill(bytes, |n| format!(r#""{}":"""#, short(n)));
        create_map(with_metadata(name, &format!(r#""annotations":{{{annotations}}}"#)))
    }),
    ("annotations, as many as there may be", |bytes, name| {
        let annotations: Vec<String> = (0..bytes.min(10_000)).map(|n| format!(r#""{}":"""#, short(n))).collect();
        create_map(with_metadata(name, &format!(r#""annotations":{{{}}}"#, annotations.join(","))))
    }),
    ("a name of any length", |bytes, name| {
        create_map(with_metadata(&format!("{name}{}", "x".repeat(bytes)), r#""labels":{}"#))
    }),
    ("a generated name of any length", |bytes, _| {
        create_map(format!(r#"{{"metadata":{{"generateName":"{}"}}}}"#, "x".repeat(bytes)))
    }),
];

/// Managed fields in the body of a request.
pub const MANAGED: &[(&str, Make)] = &[
    ("managers", |bytes, name| {
        let entries = fill(bytes, |n| entry(&short(n), r#""f:data":{"f:a":{}}"#));
        create_map(with_metadata(name, &format!(r#""managedFields":[{entries}]"#)))
    }),
    ("managers, as many as there may be, of many fields", |bytes, name| {
        let fields = fill((bytes / 1000).saturating_sub(150).min(2000), |n| format!(r#""f:{}":{{}}"#, short(n)));
        let entries: Vec<String> = (0..1000).map(|n| entry(&short(n), &format!(r#""f:data":{{{fields}}}"#))).collect();
        create_map(with_metadata(name, &format!(r#""managedFields":[{}]"#, entries.join(","))))
    }),
    ("managers of the fields that change", |bytes, name| {
        let fields = fill(50, |n| format!(r#""f:{}":{{}}"#, short(n)));
        let entries: Vec<String> = (0..900).map(|n| entry(&short(n), &format!(r#""f:data":{{{fields}}}"#))).collect();
        let data = fill(bytes.min(150_000), |n| format!(r#""{}":"""#, short(n)));
        let rest = format!(r#""managedFields":[{}]}},"data":{{{data}}}"#, entries.join(","));
        create_map(format!(r#"{{"metadata":{{"name":"{name}",{rest}}}"#))
    }),
    ("updaters", |bytes, name| {
        let update = |n| entry(&short(n), r#""f:data":{"f:a":{}}"#).replace("Apply", "Update");
        let entries: Vec<String> = (0..(bytes / 100).min(1000)).map(update).collect();
        create_map(with_metadata(name, &format!(r#""managedFields":[{}]"#, entries.join(","))))
    }),
    ("fields", |bytes, name| {
        let fields = fill(bytes, |n| format!(r#""f:{}":{{}}"#, short(n)));
        create_map(with_metadata(name, &format!(r#""managedFields":[{}]"#, entry("m", &fields))))
    }),
    ("fields, within the memory of an object", |bytes, name| {
        let fields = fill(bytes.min(180_000), |n| format!(r#""f:{}":{{}}"#, short(n)));
        create_map(with_metadata(name, &format!(r#""managedFields":[{}]"#, entry("m", &fields))))
    }),
    ("keys of fields that hold lists", |bytes, name| {
        let key = format!("k:{{\"a\":[{}]}}", fill(bytes / 2, |_| "[0]".to_owned()));
        let fields = format!("{}:{{}}", Value::from(key));
        create_map(with_metadata(name, &format!(r#""managedFields":[{}]"#, entry("m", &fields))))
    }),
    ("keys of fields that mean the same", |bytes, name| {
        let fields = fill(bytes.min(1_000_000), |n| format!(r#""v:{}1":{{}}"#, " ".repeat(n % 1500)));
        create_map(with_metadata(name, &format!(r#""managedFields":[{}]"#, entry("m", &fields))))
    }),
    ("nested fields, as indented JSON", |bytes, name| {
        let deep = 50;
        let fields = fill(bytes.min(100_000), |n| format!(r#""f:{}":{{}}"#, short(n)));
        let fields = format!("{}{fields}{}", r#""f:a":{"#.repeat(deep), "}".repeat(deep));
        let body = with_metadata(name, &format!(r#""managedFields":[{}]"#, entry("m", &fields)));
        Shot::post(&format!("{CORE}/configmaps?pretty=true"), body)
    }),
    ("nested fields, as YAML", |bytes, name| {
        let deep = 50;
        let fields = fill(bytes.min(100_000), |n| format!(r#""f:{}":{{}}"#, short(n)));
        let fields = format!("{}{fields}{}", r#""f:a":{"#.repeat(deep), "}".repeat(deep));
        let body = with_metadata(name, &format!(r#""managedFields":[{}]"#, entry("m", &fields)));
        create_map(body).with("accept", YAML)
    }),
];

/// Bodies that are trees of very many values.
pub const TREES: &[(&str, Make)] = &[
    ("lists of one item", |bytes, name| {
        create_map(with_metadata(name, &format!(r#""x":[{}]"#, fill(bytes, |_| "[0]".to_owned()))))
    }),
    ("maps of one key", |bytes, name| {
        create_map(with_metadata(name, &format!(r#""x":[{}]"#, fill(bytes, |_| r#"{"":0}"#.to_owned()))))
    }),
    ("lists of one item, up to the limit", |bytes, name| {
        create_map(with_metadata(name, &format!(r#""x":[{}]"#, fill(bytes.min(370_000), |_| "[0]".to_owned()))))
    }),
    ("maps of one key, up to the limit", |bytes, name| {
        create_map(with_metadata(name, &format!(r#""x":[{}]"#, fill(bytes.min(60_000), |_| r#"{"":0}"#.to_owned()))))
    }),
    ("empty texts", |bytes, name| {
        create_map(with_metadata(name, &format!(r#""x":[{}]"#, fill(bytes, |_| r#""""#.to_owned()))))
    }),
    ("lists of one item in YAML", |bytes, name| {
        let body = with_metadata(name, &format!(r#""x":[{}]"#, fill(bytes, |_| "[0]".to_owned())));
        Shot::new(Method::POST, format!("{CORE}/configmaps"), YAML, body)
    }),
    ("lines of YAML", |bytes, name| {
        let body = format!("metadata:\n  name: {name}\nx:\n{}", "- - 0\n".repeat(bytes / 6));
        Shot::new(Method::POST, format!("{CORE}/configmaps"), YAML, body)
    }),
    ("comments of YAML", |bytes, name| {
        let body = format!("{}metadata:\n  name: {name}\n", "#\n".repeat(bytes / 2));
        Shot::new(Method::POST, format!("{CORE}/configmaps"), YAML, body)
    }),
    ("anchors of YAML", |bytes, name| {
        let anchors = fill(bytes, |n| format!("&{} 0", short(n)));
        let body = format!("metadata:\n  name: {name}\nx: [{anchors}]\n");
        Shot::new(Method::POST, format!("{CORE}/configmaps"), YAML, body)
    }),
    ("a folded text of YAML", |bytes, name| {
        let body = format!("metadata:\n  name: {name}\ndata:\n  a: >-\n{}", "    x\n\n".repeat(bytes / 7));
        Shot::new(Method::POST, format!("{CORE}/configmaps"), YAML, body)
    }),
    ("repeated keys", |bytes, name| {
        create_map(format!(r#"{{"metadata":{{"name":"{name}"}},{}}}"#, fill(bytes, |_| r#""a":0"#.to_owned())))
    }),
    ("unknown fields", |bytes, name| {
        create_map(format!(r#"{{"metadata":{{"name":"{name}"}},{}}}"#, fill(bytes, |n| format!(r#""{}":0"#, short(n)))))
    }),
    ("faults under a long key", |bytes, name| {
        let key = "k".repeat(bytes / 2 - 1000);
        let faults = vec!["0"; 200].join(",");
        create_map(format!(r#"{{"metadata":{{"name":"{name}","{key}":[{faults}],"labels":{{"{key}":1}}}}}}"#))
    }),
    ("a review that nests deep, indented", |bytes, _| {
        let spec = format!("{}{}{}", "[".repeat(55), fill(bytes.min(180_000), |_| "0".to_owned()), "]".repeat(55));
        let body = format!(r#"{{"spec":{{"resourceAttributes":{{"verb":"get"}},"x":{spec}}}}}"#);
        Shot::post(&format!("{REVIEWS}?pretty=true"), body)
    }),
    ("a map of many small values, in protobuf", |bytes, _| {
        let meta = [&b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"[..]].concat();
        let entry = b"\x12\x02\x0a\x00";
        let raw = entry.repeat(bytes / entry.len());
        let length = (0..5).map(|n| u8::try_from(raw.len() >> (7 * n) & 0x7f).unwrap() | if n < 4 { 0x80 } else { 0 });
        let body: Vec<u8> = [b"k8s\0".to_vec(), meta, vec![0x12], length.collect(), raw].concat();
        Shot::new(Method::POST, format!("{CORE}/configmaps"), "application/vnd.kubernetes.protobuf", body)
    }),
];

/// ConfigMaps.
pub const CONFIG_MAPS: &[(&str, Make)] = &[
    ("a config map of many keys", |bytes, name| {
        there(name, &format!(r#","data":{{{}}}"#, fill(bytes, |n| format!(r#""{}":"""#, short(n)))))
    }),
    ("a config map of as many keys as there may be", |bytes, name| {
        let pad = (bytes / 16_384).saturating_sub(12).min(60);
        let data: Vec<String> = (0..16_384).map(|n| format!(r#""{}{}":"""#, short(n), "x".repeat(pad))).collect();
        there(name, &format!(r#","data":{{{}}}"#, data.join(",")))
    }),
    ("a config map of malformed keys", |bytes, name| {
        there(name, &format!(r#","data":{{{}}}"#, fill(bytes.min(300_000), |n| format!(r#""/{}":"""#, short(n)))))
    }),
    ("a config map of one long text", |bytes, name| {
        there(name, &format!(r#","data":{{"a":"{}"}}"#, "x".repeat(bytes.min(1 << 20))))
    }),
    ("a config map of malformed bytes", |bytes, name| {
        there(name, &format!(r#","binaryData":{{"a":"{}"}}"#, "\\u0001".repeat(bytes / 6)))
    }),
    ("a config map that is replaced", |bytes, name| {
        let data = |letter: &str| {
            let data: Vec<String> =
                (0..(bytes / 100).min(16_000)).map(|n| format!(r#""{letter}{}":"""#, short(n))).collect();
            format!(r#","data":{{{}}}"#, data.join(","))
        };
        let body = format!(r#"{{"metadata":{{"name":"{name}"}}{}}}"#, data("a"));
        Shot::new(Method::PUT, config_map(name), JSON, body).after(there(name, &data("b")))
    }),
];

/// Patches and applies.
pub const PATCHES: &[(&str, Make)] = &[
    ("JSON patch: items that are shifted", |bytes, name| {
        let list = vec!["0"; 100_000].join(",");
        let shifts = operations(bytes - 210_000, |_| json!({"op": "move", "from": "/x/0", "path": "/x/-"}));
        let first = format!(r#"[{{"op":"add","path":"/x","value":[{list}]}},"#);
        patch(name, JSON_PATCH, format!("{first}{}", &shifts[1..]))
    }),
    ("JSON patch: copies", |bytes, name| {
        let first = json!({"op": "add", "path": "/x", "value": {"a": "x".repeat(bytes / 4)}}).to_string();
        let copies =
            operations(bytes / 2, |n| json!({"op": "copy", "from": "/x/a", "path": format!("/x/{}", short(n))}));
        patch(name, JSON_PATCH, format!("[{first},{}", &copies[1..]))
    }),
    ("JSON patch: copies of small values", |bytes, name| {
        let list = vec!["[0]"; 3000].join(",");
        let first = format!(r#"{{"op":"add","path":"/x","value":{{"a":[{list}]}}}}"#);
        let copies =
            operations(bytes / 2, |n| json!({"op": "copy", "from": "/x/a", "path": format!("/x/{}", short(n))}));
        patch(name, JSON_PATCH, format!("[{first},{}", &copies[1..]))
    }),
    ("JSON patch: operations", |bytes, name| {
        patch(
            name,
            JSON_PATCH,
            operations(bytes, |n| json!({"op": "add", "path": format!("/data/{}", short(n)), "value": ""})).replacen(
                '[',
                r#"[{"op":"add","path":"/data","value":{}},"#,
                1,
            ),
        )
    }),
    ("JSON patch: tests", |bytes, name| {
        let list = vec!["0"; 100_000].join(",");
        let tests = operations(bytes - 210_000, |_| json!({"op": "test", "path": "/x", "value": [0]}));
        patch(name, JSON_PATCH, format!(r#"[{{"op":"add","path":"/x","value":[{list}]}},{}"#, &tests[1..]))
    }),
    ("JSON patch: a path of any length", |bytes, name| {
        patch(name, JSON_PATCH, format!(r#"[{{"op":"remove","path":"{}"}}]"#, "/a".repeat(bytes / 2)))
    }),
    ("merge patch: keys", |bytes, name| {
        patch(name, MERGE, format!(r#"{{"data":{{{}}}}}"#, fill(bytes, |n| format!(r#""{}":"""#, short(n)))))
    }),
    ("merge patch: as many keys as there may be", |bytes, name| {
        let data: Vec<String> = (0..(bytes / 100).min(16_384)).map(|n| format!(r#""{}":"""#, short(n))).collect();
        patch(name, MERGE, format!(r#"{{"data":{{{}}}}}"#, data.join(",")))
    }),
    ("merge patch: maps of one key", |bytes, name| {
        patch(name, MERGE, format!(r#"{{"x":[{}]}}"#, fill(bytes.min(60_000), |_| r#"{"":0}"#.to_owned())))
    }),
    ("strategic merge patch: finalizers", |bytes, name| {
        let finalizers = fill(bytes, |n| format!("\"x/{}\"", short(n)));
        patch(name, STRATEGIC, format!(r#"{{"metadata":{{"finalizers":[{finalizers}]}}}}"#))
    }),
    ("strategic merge patch: finalizers and their deletion", |bytes, name| {
        let finalizers = fill(bytes.min(1_500_000) / 2, |n| format!("\"x/{}\"", short(n)));
        let deleted = format!(r#""$deleteFromPrimitiveList/finalizers":[{finalizers}]"#);
        patch(name, STRATEGIC, format!(r#"{{"metadata":{{"finalizers":[{finalizers}],{deleted}}}}}"#))
    }),
    ("strategic merge patch: owners", |bytes, name| {
        let owners = fill(bytes.min(220_000), |n| format!(r#"{{"uid":"{}"}}"#, short(n)));
        patch(name, STRATEGIC, format!(r#"{{"metadata":{{"ownerReferences":[{owners}]}}}}"#))
    }),
    ("apply of YAML", |bytes, name| {
        let data: Vec<String> = (0..(bytes / 100).min(16_384)).map(|n| format!("  {}x: \"\"\n", short(n))).collect();
        let data = data.concat();
        apply(name, format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n{data}"))
    }),
    ("apply of JSON", |bytes, name| {
        let data = fill(bytes, |n| format!(r#""{}":"""#, short(n)));
        apply(
            name,
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{{data}}}}}"#),
        )
    }),
    ("apply of what others own", |bytes, name| {
        let config = |value: &str| {
            let data: Vec<String> =
                (0..(bytes / 100).min(16_384)).map(|n| format!(r#""{}":"{value}""#, short(n))).collect();
            let data = data.join(",");
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{{data}}}}}"#)
        };
        let mut first = apply(name, config("a"));
        first.path = first.path.replace("=m", "=other");
        apply(name, config("b")).after(first)
    }),
    ("a small patch of a large object", |bytes, name| {
        let pad = "x".repeat(bytes.min(1_400_000) / 1000 - 100);
        let owners: Vec<String> = (0..1000).map(|n| owner(&format!("{n}{pad}"))).collect();
        let large = create_map(with_metadata(name, &format!(r#""ownerReferences":[{}]"#, owners.join(","))));
        let body = r#"{"metadata":{"labels":{"a":"b"}}}"#;
        Shot::new(Method::PATCH, config_map(name), MERGE, body).after(large)
    }),
    ("a small apply to a large object", |bytes, name| {
        let data: Vec<String> =
            (0..(bytes / 190).min(16_384)).map(|n| format!(r#""{}":"{}""#, short(n), "x".repeat(50))).collect();
        let large = there(name, &format!(r#","data":{{{}}}"#, data.join(",")));
        let config =
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"a":"b"}}}}}}"#);
        apply(name, config).after(large)
    }),
    ("apply of items that stand for the same", |bytes, name| {
        let owners = fill(bytes.min(220_000), |_| r#"{"uid":"a"}"#.to_owned());
        apply(
            name,
            format!(
                r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","ownerReferences":[{owners}]}}}}"#
            ),
        )
    }),
];

/// Roles, bindings, and the kinds of addresses.
pub const KINDS: &[(&str, Make)] = &[
    ("a role that multiplies out", |bytes, name| {
        let many = |n: usize| fill(n, |n| format!("\"{}\"", short(n)));
        let part = (bytes / 3).min(6000);
        role(name, &format!(r#"{{"verbs":[{0}],"apiGroups":[{0}],"resources":[{0}]}}"#, many(part)))
    }),
    ("a role of as many pairs as there may be", |bytes, name| {
        let verbs: Vec<String> = (0..100).map(|n| format!("\"{}{}\"", short(n), "v".repeat(bytes / 1000))).collect();
        let names: Vec<String> = (0..100).map(|n| format!("\"{}\"", short(n))).collect();
        role(
            name,
            &format!(
                r#"{{"verbs":[{}],"apiGroups":[""],"resources":["pods"],"resourceNames":[{}]}}"#,
                verbs.join(","),
                names.join(",")
            ),
        )
    }),
    ("rules of a role", |bytes, name| {
        role(name, &fill(bytes, |_| r#"{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}"#.to_owned()))
    }),
    ("rules of a role, as many as there may be", |bytes, name| {
        let rules: Vec<String> = (0..1000)
            .map(|n| {
                format!(
                    r#"{{"verbs":["get"],"apiGroups":[""],"resources":["configmaps"],"resourceNames":["{}{}"]}}"#,
                    short(n),
                    "x".repeat(bytes / 1000 - 100)
                )
            })
            .collect();
        role(name, &rules.join(","))
    }),
    ("subjects of a binding", |bytes, name| {
        let subjects = fill(bytes, |n| format!(r#"{{"kind":"User","name":"{}"}}"#, short(n)));
        let body = format!(
            r#"{{"metadata":{{"name":"{name}"}},"roleRef":{{"kind":"ClusterRole","name":"view"}},"subjects":[{subjects}]}}"#
        );
        Shot::post(&format!("{RBAC}/rolebindings"), body).by(ADMIN)
    }),
    ("subjects of a binding, as many as there may be, malformed", |bytes, name| {
        let subjects: Vec<String> =
            (0..5000).map(|n| format!(r#"{{"kind":"{}{n}"}}"#, "x".repeat(bytes / 5000 - 30))).collect();
        let body = format!(
            r#"{{"metadata":{{"name":"{name}"}},"roleRef":{{"kind":"ClusterRole","name":"view"}},"subjects":[{}]}}"#,
            subjects.join(",")
        );
        Shot::post(&format!("{RBAC}/rolebindings"), body).by(ADMIN)
    }),
    ("labels of a claim's selector", |bytes, name| {
        claim(
            name,
            &format!(r#""poolSelector":{{"matchLabels":{{{}}}}}"#, fill(bytes, |n| format!(r#""{}":"""#, short(n)))),
        )
    }),
    ("values of a claim's selector", |bytes, name| {
        let values = (0..1000).map(|n| format!("\"{}\"", short(n))).collect::<Vec<_>>().join(",");
        let expression = format!(r#"{{"key":"a","operator":"NotIn","values":[{values}]}}"#);
        let count = (bytes / expression.len()).min(100);
        claim(name, &format!(r#""poolSelector":{{"matchExpressions":[{}]}}"#, vec![expression; count].join(",")))
    }),
    ("malformed values of a claim's selector", |bytes, name| {
        let values = fill(bytes, |n| format!("\"-{}\"", short(n)));
        claim(
            name,
            &format!(r#""poolSelector":{{"matchExpressions":[{{"key":"a","operator":"In","values":[{values}]}}]}}"#),
        )
    }),
    ("an address of any length", |bytes, name| {
        claim(name, &format!(r#""poolRef":{{"name":"root"}},"address":"{}""#, "1".repeat(bytes)))
    }),
    ("a claim of a name of any length", |bytes, name| a_claim(&format!("{name}{}", "x".repeat(bytes)))),
    ("conditions of a claim", |bytes, name| claim_status(name, &fill(bytes, |n| condition(&short(n))))),
    ("conditions of a claim, as many as there may be", |bytes, name| {
        let conditions: Vec<String> =
            (0..98).map(|n| condition(&format!("{}{}", short(n), "x".repeat(bytes / 98 - 200)))).collect();
        claim_status(name, &conditions.join(","))
    }),
    ("conditions of a claim of one type", |bytes, name| claim_status(name, &fill(bytes, |_| condition("A")))),
    ("labels of an allocation", |bytes, name| {
        let labels = fill(bytes, |n| format!(r#""{}":"""#, short(n)));
        let body = format!(r#"{{"metadata":{{"labels":{{{labels}}}}}}}"#);
        Shot::new(Method::PATCH, format!("{API}/namespaces/default/ipallocations/none-{name}"), MERGE, body)
    }),
    ("a pool's block of any length", |bytes, name| {
        let body = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"cidr":"{}"}}}}"#, "1".repeat(bytes));
        Shot::post(&format!("{API}/ippools"), body).by(OPERATOR)
    }),
];

/// Delete options, selectors, and long queries and headers.
pub const OTHERS: &[(&str, Make)] = &[
    ("options of a delete: dryRun", |bytes, name| {
        let body = format!(r#"{{"dryRun":[{}]}}"#, fill(bytes.min(180_000), |_| "0".to_owned()));
        Shot::new(Method::DELETE, config_map(name), JSON, body).after(there(name, ""))
    }),
    ("options of a delete: uid", |bytes, name| {
        let body = format!(r#"{{"preconditions":{{"uid":"{}"}}}}"#, "\\u0001".repeat(bytes / 6));
        Shot::new(Method::DELETE, config_map(name), JSON, body).after(there(name, ""))
    }),
    ("options of a deletecollection", |bytes, name| {
        let body = format!(r#"{{"preconditions":{{"uid":"{}"}}}}"#, "u".repeat(bytes));
        let path = format!("{CORE}/configmaps?fieldSelector=metadata.name%3D{name}");
        Shot::new(Method::DELETE, path, JSON, body).after(there(name, ""))
    }),
    ("a label selector of many requirements", |bytes, _| {
        let selector = fill(bytes.min(60_000), |n| format!("!{}", short(n)));
        Shot::new(Method::GET, format!("{CORE}/configmaps?limit=500&labelSelector={selector}"), JSON, "")
    }),
    ("a label selector of many values", |bytes, _| {
        let values = fill(bytes.min(60_000), short);
        Shot::new(Method::GET, format!("{CORE}/configmaps?limit=1&labelSelector=a%20notin%20({values})"), JSON, "")
    }),
    ("a query of many parameters", |bytes, _| {
        let query = fill(bytes.min(60_000), |_| "a".to_owned()).replace(',', "&");
        Shot::new(Method::GET, format!("{CORE}/configmaps/none?{query}"), JSON, "")
    }),
    ("media types", |bytes, _| {
        Shot::new(Method::GET, format!("{CORE}/configmaps/none"), JSON, "")
            .with("accept", fill(bytes.min(200_000), |_| "a;b=c".to_owned()))
    }),
    ("encodings", |bytes, _| {
        Shot::new(Method::GET, format!("{CORE}/configmaps/none"), JSON, "")
            .with("accept-encoding", fill(bytes.min(200_000), |_| "a;q=1".to_owned()))
    }),
];
