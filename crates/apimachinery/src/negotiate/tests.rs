//! Tests with `Accept` headers of real clients.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer(accept: Option<&str>, shape: ResponseShape, query: &str) -> String {
    match negotiate(accept, shape, &Query::parse(query).unwrap()) {
        Ok(Representation::Json) => "json".to_owned(),
        Ok(Representation::Yaml) => "yaml".to_owned(),
        Ok(Representation::Table { v1beta1, include }) => {
            format!("table {} {include:?}", version(v1beta1))
        }
        Ok(Representation::Partial { v1beta1 }) => format!("partial {}", version(v1beta1)),
        Err(refusal) => format!("{} {refusal}", refusal.reason.code()),
    }
}

fn version(v1beta1: bool) -> &'static str {
    if v1beta1 { "v1beta1" } else { "v1" }
}

/// Compares the results for an object, a list and a watch, in this order; one result if all are equal.
fn check(accept: &str, expected: &Expect) {
    let answers =
        [ResponseShape::Object, ResponseShape::List, ResponseShape::Watch].map(|shape| answer(Some(accept), shape, ""));
    let mut answers = answers.to_vec();
    answers.dedup();
    expected.assert_eq(&answers.join("; "));
}

const KUBECTL_GET: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
const METADATA_CLIENT: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                               application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                             application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

#[test]
fn headers_of_real_clients_are_negotiated() {
    // curl, kubectl apply, controllers, Python
    check("*/*", &expect!["json"]);
    check("application/json", &expect!["json"]);
    check("application/json, */*", &expect!["json"]);
    check("application/vnd.kubernetes.protobuf,application/json", &expect!["json"]);
    check("application/vnd.kubernetes.protobuf, */*", &expect!["json"]);
    check(KUBECTL_GET, &expect!["table v1 Metadata"]);
    check(METADATA_CLIENT, &expect!["partial v1; json; partial v1"]);
    check(METADATA_LIST, &expect!["json; partial v1; json"]);
    // kube-rs, whose metadata calls have no fallback
    check(
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        &expect![
            "partial v1; 406 only the following media types are accepted: application/json, application/yaml; partial v1"
        ],
    );
    // a browser
    check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", &expect!["json"]);
    check("application/cbor,application/json;q=0.9", &expect!["json"]);
}

#[test]
fn quality_order_and_specificity_decide() {
    check("application/yaml;q=0.5,application/json;q=0.4", &expect!["yaml; json"]);
    check("application/json;q=0.4,application/yaml;q=0.5", &expect!["yaml; json"]);
    check("application/yaml,application/json", &expect!["yaml; json"]);
    check("*/*,application/json;as=Table;v=v1;g=meta.k8s.io", &expect!["table v1 Metadata"]);
    check("application/*", &expect!["json"]);
    check(
        "application/json;q=0,application/yaml;q=0.001",
        &expect!["yaml; 406 only the following media types are accepted: application/json, application/yaml"],
    );
}

#[test]
fn parameter_order_and_unknown_parameters_are_ignored() {
    check("application/json;g=meta.k8s.io;v=v1;as=Table", &expect!["table v1 Metadata"]);
    check(
        "application/json; as=Table ; g=\"meta.k8s.io\"; v=v1beta1; x=y; charset",
        &expect!["table v1beta1 Metadata"],
    );
    check("Application/JSON;charset=utf-8", &expect!["json"]);
    check("application/json;stream=watch", &expect!["json"]);
}

#[test]
fn unsupported_types_are_skipped_or_rejected() {
    check("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", &expect!["json"]);
    check("application/json;as=Table;v=v1;g=other.io,application/json", &expect!["json"]);
    check("application/json;as=Chair;v=v1;g=meta.k8s.io,application/json", &expect!["json"]);
    check("application/yaml;as=Table;v=v1;g=meta.k8s.io,application/json", &expect!["json"]);
    for accept in ["text/html", "application/vnd.kubernetes.protobuf", ",", ";", "application", "text/*"] {
        check(accept, &expect!["406 only the following media types are accepted: application/json, application/yaml"]);
    }
    assert_eq!(answer(None, ResponseShape::List, ""), "json");
    check("", &expect!["json"]);
    check(" ", &expect!["json"]);
}

#[test]
fn include_object_is_read_from_the_query() {
    let check = |query: &str, expected: &Expect| {
        expected.assert_eq(&answer(Some(KUBECTL_GET), ResponseShape::List, query));
    };
    check("includeObject=", &expect!["table v1 Metadata"]);
    check("includeObject=Metadata", &expect!["table v1 Metadata"]);
    check("includeObject=Object", &expect!["table v1 Object"]);
    check("includeObject=None", &expect!["table v1 None"]);
    check(
        "includeObject=object",
        &expect![[
            r#"400 Unable to convert to Table as requested: includeObject: Invalid value: "object": must be 'Metadata', 'Object', 'None', or empty"#
        ]],
    );
    // `includeObject` applies to tables only.
    assert_eq!(answer(None, ResponseShape::List, "includeObject=x"), "json");
}

#[test]
fn tables_have_content_type_json() {
    let table = Representation::Table { v1beta1: false, include: IncludeObject::Metadata };
    let partial = Representation::Partial { v1beta1: false };
    for representation in [Representation::Json, table, partial] {
        assert_eq!(representation.content_type(), "application/json");
    }
    assert_eq!(Representation::Yaml.content_type(), "application/yaml");
}

fn check_discovery(accept: Option<&str>, expected: &Expect) {
    let text = match negotiate_discovery(accept) {
        Ok(form) => form.content_type().to_owned(),
        Err(refusal) => format!("{} {refusal}", refusal.reason.code()),
    };
    expected.assert_eq(&text);
}

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

#[test]
fn discovery_content_types_are_exact() {
    let v2 = &expect!["application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"];
    let v2beta1 = &expect!["application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"];
    // kubectl 1.33, kubectl 1.27, kube-aggregator old and new
    check_discovery(Some(&format!("{V2},{V2BETA1},application/json")), v2);
    check_discovery(Some(&format!("{V2BETA1},application/json")), v2beta1);
    check_discovery(
        Some(V2BETA1),
        &expect!["application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"],
    );
    check_discovery(Some(V2), &expect!["application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"]);
    // kubectl 1.35
    check_discovery(
        Some(&format!("{V2};profile=nopeer,{V2},{V2BETA1},application/json")),
        &expect!["application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"],
    );
    check_discovery(
        Some("application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io"),
        &expect!["application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"],
    );
}

#[test]
fn discovery_defaults_to_the_legacy_format() {
    for accept in [None, Some(""), Some("*/*"), Some("application/json"), Some("application/json, */*")] {
        check_discovery(accept, &expect!["application/json"]);
    }
    check_discovery(Some(&format!("application/json,{V2}")), &expect!["application/json"]);
    check_discovery(Some("application/vnd.kubernetes.protobuf,application/json"), &expect!["application/json"]);
    let only_v3 = "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList";
    check_discovery(
        Some(only_v3),
        &expect!["406 only the following media types are accepted: application/json, application/yaml"],
    );
}

#[test]
fn media_types_may_contain_an_at_sign() {
    let openapi = ["application/json", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"];
    let pick = |accept: Option<&str>, media: &[&str]| accepts(accept, media).ok();
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    assert_eq!(pick(Some(protobuf), &openapi), Some(1));
    assert_eq!(pick(Some(&format!("application/json;q=0.1,{protobuf}")), &openapi), Some(1));
    assert_eq!(pick(None, &openapi), Some(0));
    assert_eq!(pick(Some("*/*"), &openapi), Some(0));
    assert_eq!(pick(Some("text/plain, application/json"), &["text/plain", "application/json"]), Some(0));
    let refusal = accepts(Some("text/html"), &["application/json", "text/plain"]).unwrap_err();
    assert_eq!(refusal.reason.code(), 406);
    assert_eq!(refusal.to_string(), "only the following media types are accepted: application/json, text/plain");
}

#[test]
fn gzip_is_used_only_if_accepted() {
    let wanted =
        ["gzip", "x-gzip", "GZIP", "*", "gzip, deflate, br", "br;q=1.0, gzip;q=0.001", "identity;q=0, gzip;q=0.5"];
    for header in wanted {
        assert!(accepts_gzip(Some(header)), "{header}");
    }
    let unwanted = ["", "identity", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "identity, gzip;q=0.5", "gzipped"];
    for header in unwanted {
        assert!(!accepts_gzip(Some(header)), "{header}");
    }
    assert!(!accepts_gzip(None), "Go clients always send the header; others may not support gzip");
}

#[test]
fn json_is_indented_for_browsers_curl_and_wget() {
    let is = |query: &str, agent| pretty(&Query::parse(query).unwrap(), agent);
    for agent in ["curl/8.5.0", "Wget/1.21", "Mozilla/5.0 (X11; Linux x86_64)"] {
        assert!(is("", Some(agent)) && !is("pretty=false", Some(agent)) && !is("pretty=0", Some(agent)), "{agent}");
    }
    assert!(is("pretty", Some("curl/8.5.0")) && is("pretty=", Some("curl/8.5.0")), "an empty value has no effect");
    for agent in [None, Some("kubectl/v1.33.1 (linux/amd64)"), Some("libcurl")] {
        assert!(is("pretty=true", agent) && is("a=b&pretty=1", agent), "{agent:?}");
        assert!(!is("", agent) && !is("pretty", agent) && !is("pretty=maybe", agent), "{agent:?}");
    }
}

#[test]
fn deeply_nested_json_is_not_indented() {
    let nested = |count: usize| {
        let list = vec!["0"; count].join(",");
        format!("{}{list}{}", "[".repeat(60), "]".repeat(60))
    };
    let (short, long) = (nested(100), nested(100_000));
    assert!(indent(short.as_bytes()).is_some());
    assert_eq!(indent(long.as_bytes()), None);
    let yaml = |json: &str| to_yaml(&serde_json::from_str(json).unwrap()).unwrap();
    assert!(yaml(&short).starts_with("- "), "{:.20}", yaml(&short));
    assert_eq!(yaml(&long), long, "JSON is valid YAML");
    let flat = format!("[{}]", vec!["\"some text\""; 100_000].join(","));
    assert!(indent(flat.as_bytes()).is_some());
}

#[test]
fn only_the_first_media_types_are_considered() {
    let accept = |others: usize| format!("{}application/json", "text/html,".repeat(others));
    assert!(negotiate_discovery(Some(&accept(MEDIA_TYPES_MAX - 1))).is_ok());
    assert_eq!(negotiate_discovery(Some(&accept(MEDIA_TYPES_MAX))).unwrap_err().reason.code(), 406);
}

#[test]
fn qualities_are_parsed_in_thousandths() {
    let cases = [("1", 1000), ("0", 0), ("0.5", 500), ("0.05", 50), ("0.123", 123), ("1.0", 1000), (".3", 300)];
    for (text, expected) in cases {
        assert_eq!(parse_q(text), expected, "{text}");
    }
    for nonsense in ["", "x", "-1", "0.x", "0.1234", "2"] {
        assert!(parse_q(nonsense) == 1000 || nonsense.is_empty(), "{nonsense}");
    }
}

#[test]
fn yaml_quotes_ambiguous_strings() {
    let value = json!({
        "int": i64::MAX, "texts": ["yes", "1.0", "null", "~", "0x1f", "2026-01-01", "a: b", "- x", "", " x ", "é\n\ty", "#"],
        "none": null, "empty": {}, "list": [],
    });
    let yaml = to_yaml(&value).unwrap();
    let back: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(back, value, "{yaml}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(?s).*".prop_map(Value::from),
        "[-0-9a-f:.xe+ \n~#]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z0-9./-]{1,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_headers_do_not_panic(accept in "(?s).*", query in "(?s).*") {
        let query = Query::parse(&query.replace('%', "")).unwrap();
        for shape in [ResponseShape::Object, ResponseShape::List, ResponseShape::Watch] {
            let _ = negotiate(Some(&accept), shape, &query);
        }
        let _ = negotiate_discovery(Some(&accept));
        let _ = accepts(Some(&accept), &[JSON]);
    }

    #[test]
    fn nearly_valid_headers_do_not_panic(accept in "[a-z/*;,=q.0-9 \"]{0,40}") {
        let _ = negotiate_discovery(Some(&accept));
    }

    #[test]
    fn indented_json_equals_that_of_serde_json(value in json_value()) {
        let indented = String::from_utf8(indent(value.to_string().as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(&indented, &serde_json::to_string_pretty(&value).unwrap());
        prop_assert_eq!(indent(indented.as_bytes()).unwrap(), indented.as_bytes(), "indenting is idempotent");
    }

    #[test]
    fn indenting_arbitrary_bytes_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = indent(&bytes);
    }

    #[test]
    fn yaml_is_equivalent_to_json(value in json_value()) {
        let yaml = to_yaml(&value).unwrap();
        let back: Value = serde_saphyr::from_str(&yaml).unwrap();
        prop_assert_eq!(back, value, "{}", yaml);
    }
}
