//! Clients that read all numbers as doubles: writing back what they read changes nothing.

use http::Method;
use serde_json::{Value, json};
use testkit::{claim, pool};

use super::support::{CLAIMS, POOLS, ServerFixture, body, text};

/// The JSON as a client writes it that parses every number as a double.
fn as_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(as_doubles).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), as_doubles(value))).collect())
        }
        other => other.clone(),
    }
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn status_rewritten_with_floats_is_accepted_unchanged() {
    let front = ServerFixture::open().await;
    front.pool(pool("v6").cidr("2001:db8::/32")).await;
    front.claim(claim("half").pool("v6").length(33)).await;
    let path = format!("{POOLS}/v6/status");
    let before = body(&front.get(&path).await, 200);
    let greatest = json!(9_007_199_254_740_991_u64);
    for count in ["total", "allocated", "available"] {
        assert_eq!(before["status"]["capacity"][count], greatest, "{count}");
    }
    let with = |number: &str| before.to_string().replace("9007199254740991", number);
    for written in [
        with("9007199254740991"),
        with("9007199254740991.0"),
        with("9.007199254740991e15"),
        with("9.007199254740991e+15"),
        as_doubles(&before).to_string(),
    ] {
        let answer = front.send(Method::PUT, &path, &JSON, written.clone()).await;
        assert_eq!(body(&answer, 200), before, "{written}");
    }
}

#[tokio::test]
async fn integral_float_is_accepted_as_integer() {
    let front = ServerFixture::with_pool().await;
    let in_json = |length: &str| {
        format!(r#"{{"metadata":{{"name":"a"}},"spec":{{"poolRef":{{"name":"root"}},"prefixLength":{length}}}}}"#)
    };
    let in_yaml =
        |length: &str| format!("metadata: {{name: a}}\nspec:\n  poolRef: {{name: root}}\n  prefixLength: {length}\n");
    let yaml = [("content-type", "application/yaml")];
    for length in ["24.0", "2.4e1", "24"] {
        for (media, text) in [(&JSON, in_json(length)), (&yaml, in_yaml(length))] {
            let created = body(&front.send(Method::POST, CLAIMS, media, text.clone()).await, 201);
            assert_eq!(created["spec"]["prefixLength"].to_string(), "24", "{text}");
            front.delete_claim("a").await;
        }
    }
}

#[tokio::test]
async fn object_rewritten_with_floats_is_a_no_op() {
    let front = ServerFixture::with_pool().await;
    let claim = format!("{CLAIMS}/a");
    let config = json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim", "metadata": {"name": "a"},
        "spec": {"poolRef": {"name": "root"}, "prefixLength": 24.0},
    });
    let apply = async |config: &Value| {
        let media = [("content-type", "application/apply-patch+yaml")];
        front.send(Method::PATCH, &format!("{claim}?fieldManager=lua"), &media, config.to_string()).await
    };
    let created = body(&apply(&config).await, 201);
    assert_eq!(
        (created["spec"]["prefixLength"].to_string(), text(&created, "/status/phase")),
        ("24".to_owned(), "Bound")
    );
    assert_eq!(body(&apply(&config).await, 200), created, "applied again");

    let replaced = front.http.send_json(Method::PUT, &claim, &as_doubles(&created)).await.unwrap();
    assert_eq!(body(&replaced, 200), created, "replaced");
    let merge = json!({"metadata": {"generation": 1.0}, "spec": {"prefixLength": 24.0}});
    assert_eq!(body(&front.patch(&claim, "merge", &merge).await, 200), created, "merged");
    let operations = json!([{"op": "replace", "path": "/spec/prefixLength", "value": 24.0}]);
    assert_eq!(body(&front.patch(&claim, "json", &operations).await, 200), created, "patched");

    let tuned = json!({"spec": {"allocation": {"minPrefixLength": 2e1, "maxPrefixLength": 28.0}}});
    let tuned = body(&front.patch(&format!("{POOLS}/root"), "merge", &tuned).await, 200);
    let policy = json!({"strategy": "FirstFit", "minPrefixLength": 20, "maxPrefixLength": 28});
    assert_eq!(tuned["spec"]["allocation"], policy);
}
