//! Tests of paths, verbs and names.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::selector::FieldSelector;

fn parse(method: Method, path: &str) -> Result<RequestInfo, StatusError> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    RequestInfo::parse(method, path, &Query::parse(query).unwrap())
}

/// Compares `verb group/version resource sub=.. ns=.. name=..`, a path, or an API error.
fn check(method: Method, path: &str, expected: &Expect) {
    let text = match parse(method, path) {
        Err(refusal) => format!("{} {refusal}", refusal.reason.code()),
        Ok(info) => match &info.target {
            Target::Path(path) => format!("{} path {path}", info.verb()),
            Target::Resource(target) => describe(target),
        },
    };
    expected.assert_eq(&text);
}

fn describe(target: &ResourceTarget) -> String {
    let ResourceTarget { group, version, resource, .. } = target;
    let mut words = vec![target.verb.as_str().to_owned(), format!("{group}/{version}"), resource.clone()];
    for (name, value) in [("sub", &target.subresource), ("ns", &target.namespace), ("name", &target.name)] {
        words.extend(value.as_ref().map(|value| format!("{name}={value}")));
    }
    words.join(" ")
}

#[test]
fn methods_are_parsed_in_upper_case() {
    assert_eq!(Method::parse("GET"), Some(Method::Get));
    assert_eq!(Method::parse("DELETE"), Some(Method::Delete));
    assert_eq!(Method::parse("get"), None);
    assert_eq!(Method::parse("TRACE"), None);
}

#[test]
fn cluster_scoped_paths_are_parsed() {
    let base = "/apis/g.io/v1/shelves";
    check(Method::Get, base, &expect!["list g.io/v1 shelves"]);
    check(Method::Head, base, &expect!["list g.io/v1 shelves"]);
    check(Method::Get, &format!("{base}/"), &expect!["list g.io/v1 shelves"]);
    check(Method::Post, base, &expect!["create g.io/v1 shelves"]);
    check(Method::Delete, base, &expect!["deletecollection g.io/v1 shelves"]);
    check(Method::Get, &format!("{base}/a"), &expect!["get g.io/v1 shelves name=a"]);
    check(Method::Put, &format!("{base}/a"), &expect!["update g.io/v1 shelves name=a"]);
    check(Method::Patch, &format!("{base}/a"), &expect!["patch g.io/v1 shelves name=a"]);
    check(Method::Delete, &format!("{base}/a"), &expect!["delete g.io/v1 shelves name=a"]);
    check(Method::Put, &format!("{base}/a/status"), &expect!["update g.io/v1 shelves sub=status name=a"]);
    check(Method::Post, &format!("{base}/a"), &expect!["create g.io/v1 shelves name=a"]);
}

#[test]
fn namespaced_paths_are_parsed() {
    let base = "/apis/g.io/v1/namespaces/n/books";
    check(Method::Get, base, &expect!["list g.io/v1 books ns=n"]);
    check(Method::Get, &format!("{base}/a"), &expect!["get g.io/v1 books ns=n name=a"]);
    check(Method::Patch, &format!("{base}/a/status"), &expect!["patch g.io/v1 books sub=status ns=n name=a"]);
    check(Method::Get, "/apis/g.io/v1/books", &expect!["list g.io/v1 books"]);
    check(Method::Post, "/apis/g.io/v1/books", &expect!["create g.io/v1 books"]);
    check(Method::Delete, "/apis/g.io/v1/books", &expect!["deletecollection g.io/v1 books"]);
}

#[test]
fn core_group_and_namespace_paths_are_parsed() {
    check(Method::Get, "/api/v1/events", &expect!["list /v1 events"]);
    check(Method::Get, "/api/v1/namespaces", &expect!["list /v1 namespaces"]);
    check(Method::Get, "/api/v1/namespaces/n", &expect!["get /v1 namespaces ns=n name=n"]);
    check(Method::Get, "/api/v1/namespaces/n/status", &expect!["get /v1 namespaces sub=status ns=n name=n"]);
    check(Method::Get, "/api/v1/namespaces/n/secrets", &expect!["list /v1 secrets ns=n"]);
}

#[test]
fn watch_is_recognized_by_parameter_and_path() {
    check(Method::Get, "/apis/g.io/v1/books?watch=true", &expect!["watch g.io/v1 books"]);
    check(Method::Get, "/apis/g.io/v1/books?watch", &expect!["watch g.io/v1 books"]);
    check(Method::Get, "/apis/g.io/v1/books?watch=False", &expect!["list g.io/v1 books"]);
    check(Method::Get, "/apis/g.io/v1/books?watch=0", &expect!["list g.io/v1 books"]);
    check(Method::Get, "/apis/g.io/v1/shelves/a?watch=1", &expect!["get g.io/v1 shelves name=a"]);
    check(Method::Get, "/apis/g.io/v1/watch/books", &expect!["watch g.io/v1 books"]);
    check(Method::Get, "/apis/g.io/v1/watch/namespaces/n/books", &expect!["watch g.io/v1 books ns=n"]);
    check(Method::Get, "/apis/g.io/v1/watch/namespaces/n/books/a", &expect!["watch g.io/v1 books ns=n name=a"]);
    check(
        Method::Delete,
        "/apis/g.io/v1/watch/books",
        &expect!["405 the server does not allow this method on the requested resource"],
    );
}

#[test]
fn field_selector_on_name_sets_the_name() {
    let base = "/apis/g.io/v1/books";
    check(Method::Get, &format!("{base}?fieldSelector=metadata.name=x"), &expect!["list g.io/v1 books name=x"]);
    check(Method::Get, &format!("{base}?fieldSelector=metadata.name%3Dx"), &expect!["list g.io/v1 books name=x"]);
    check(
        Method::Get,
        &format!("{base}?watch=1&fieldSelector=spec.a=b%2Cmetadata.name%3D%3Dx"),
        &expect!["watch g.io/v1 books name=x"],
    );
    check(
        Method::Delete,
        &format!("{base}?fieldSelector=metadata.name=x"),
        &expect!["deletecollection g.io/v1 books name=x"],
    );
    check(Method::Get, &format!("{base}?fieldSelector=metadata.name!%3Dx"), &expect!["list g.io/v1 books"]);
    check(Method::Get, &format!("{base}?fieldSelector=metadata.name=.."), &expect!["list g.io/v1 books"]);
    check(Method::Get, &format!("{base}?fieldSelector=metadata.name="), &expect!["list g.io/v1 books"]);
    check(Method::Get, &format!("{base}/a?fieldSelector=metadata.name=x"), &expect!["get g.io/v1 books name=a"]);
    check(Method::Post, &format!("{base}?fieldSelector=metadata.name=x"), &expect!["create g.io/v1 books"]);
    check(
        Method::Get,
        &format!("{base}?fieldSelector=metadata.name!%3Dy%2Cmetadata.name%3Dx"),
        &expect!["list g.io/v1 books name=x"],
    );
    // An escaped comma does not end a requirement, so this is one requirement on another field.
    check(Method::Get, &format!("{base}?fieldSelector=spec.a=b%5C%2Cmetadata.name=x"), &expect!["list g.io/v1 books"]);
}

#[test]
fn other_paths_are_non_resource_paths() {
    check(Method::Get, "/", &expect!["get path /"]);
    check(Method::Get, "", &expect!["get path /"]);
    check(Method::Head, "/healthz", &expect!["get path /healthz"]);
    check(Method::Post, "/version/", &expect!["post path /version"]);
    check(Method::Get, "/apis/", &expect!["get path /apis"]);
    check(Method::Get, "/apis/g.io/v1/", &expect!["get path /apis/g.io/v1"]);
    check(Method::Get, "/api/v1", &expect!["get path /api/v1"]);
    check(Method::Get, "/openapi/v3/apis/g.io/v1", &expect!["get path /openapi/v3/apis/g.io/v1"]);
    check(Method::Get, "/apis/g.io/v1//books", &expect!["get path /apis/g.io/v1//books"]);
}

#[test]
fn names_invalid_in_paths_are_rejected() {
    let base = "/apis/g.io/v1/books";
    check(Method::Get, &format!("{base}/."), &expect![[r#"400 Name parameter invalid: ".": may not be '.'"#]]);
    check(Method::Get, &format!("{base}/%2e%2E"), &expect![[r#"400 Name parameter invalid: "..": may not be '..'"#]]);
    check(
        Method::Get,
        &format!("{base}/a%2Fb"),
        &expect![[r#"400 Name parameter invalid: "a/b": may not contain '/'"#]],
    );
    check(
        Method::Get,
        &format!("{base}/a%25b"),
        &expect![[r#"400 Name parameter invalid: "a%b": may not contain '%'"#]],
    );
    check(
        Method::Get,
        "/apis/g.io/v1/namespaces/..%2Fx/books",
        &expect![[r#"400 Name parameter invalid: "../x": may not contain '/'"#]],
    );
}

#[test]
fn malformed_percent_encoding_is_rejected() {
    for path in ["/apis/g.io/v1/books/%", "/%zz", "/%4", "/%+1", "/a%00", "/%ff", "/a%0Ab"] {
        check(Method::Get, path, &expect!["400 the path of the request is not valid percent-encoded UTF-8"]);
    }
    check(Method::Get, "/apis/g.io/v1/books/%C3%A9", &expect!["get g.io/v1 books name=é"]);
}

#[test]
fn paths_longer_than_a_subresource_are_not_found() {
    check(
        Method::Get,
        "/apis/g.io/v1/books/a/status/x",
        &expect!["404 the server could not find the requested resource"],
    );
}

proptest! {
    #[test]
    fn arbitrary_paths_do_not_panic(path in "(?s).*", selector in "(?s).*") {
        let query = Query::parse(&format!("watch=1&fieldSelector={}", selector.replace(['%', '&', '+'], ""))).unwrap();
        let _ = RequestInfo::parse(Method::Get, &path, &query);
        let _ = RequestInfo::parse(Method::Get, &format!("/apis/g/v/{path}"), &query);
        let _ = exact_name(&selector);
    }

    /// A user authorized for one name must not read other objects.
    #[test]
    fn authorized_name_equals_selected_name(
        selector in "((metadata\\.name|spec\\.colour)(=|==|!=)[a-c.=,\\\\]{0,3},?){0,3}"
    ) {
        if let Ok(selected) = FieldSelector::parse(&selector) {
            let name = selected.name().filter(|name| !name.is_empty());
            let authorised = exact_name(&selector).filter(|name| !name.is_empty());
            prop_assert_eq!(authorised.as_deref(), name);
        }
    }

    #[test]
    fn parsed_names_are_valid_path_segments(name in "[a-z./%2eEfF]{1,8}") {
        if let Ok(RequestInfo { target: Target::Resource(target), .. }) =
            parse(Method::Get, &format!("/apis/g.io/v1/books/{name}"))
        {
            prop_assert!(target.name.is_none_or(|name| name_error(&name).is_none()));
        }
    }
}
