//! Data stored by a newer version of the server: fields, values and kinds that this version does not know.

use apimachinery::{
    command::{Scope, Write},
    kind::{Span, State as _},
    object::Object,
    status_error::StatusError,
};
use serde_json::{Value, json};

use super::harness::{Server, claim, pool};
use crate::{AllocatorState, state};

/// Applies a change that another replica has committed and this one reads from the log.
fn change(server: &mut Server, name: &str, change: impl FnOnce(&mut Object)) {
    let old = server.objects[&pool(name)].clone();
    let mut new = (*old).clone();
    change(&mut new);
    server.commit(vec![Write { key: pool(name), old: Some(old), new: Some(new.into()) }]);
}

fn set(object: &mut Object, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut whole = object.to_value();
    whole.pointer_mut(parent).unwrap()[name] = value;
    *object = Object::from_value(whole).unwrap();
}

/// Returns a server with a pool that holds one claim, to which a newer version then added `value` at `pointer`.
fn with_newer(pointer: &str, value: Value) -> Server {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    server.create(claim("a"), json!({"poolRef": {"name": "p"}, "prefixLength": 26})).unwrap();
    server.settles = false;
    change(&mut server, "p", |object| set(object, pointer, value));
    server
}

/// One example for each place where a newer version may add something.
fn newer_places() -> [(&'static str, Value); 6] {
    [
        ("/spec/allocation/strategy", json!("Scattered")),
        ("/spec/reservations", json!({"leading": 1})),
        ("/spec/allocation/spare", json!(3)),
        ("/status/phase", json!("Closed")),
        ("/status/capacity/reserved", json!(1)),
        ("/metadata/shard", json!("a")),
    ]
}

fn without_figures(object: &Object) -> Value {
    let mut value = object.to_value();
    value["metadata"]["resourceVersion"].take();
    let status = value["status"].as_object_mut().unwrap();
    status.retain(|name, _| !["largestFreePrefix", "utilizationPercent"].contains(&name.as_str()));
    let capacity = status["capacity"].as_object_mut().unwrap();
    capacity.retain(|name, _| !["total", "allocated", "available", "exact"].contains(&name.as_str()));
    value
}

fn is_unavailable<T>(answer: Result<T, StatusError>) -> bool {
    answer.is_err_and(|refusal| {
        let newer = refusal.message.contains("was written by a newer version of this server");
        newer && refusal.reason.code() == 503 && refusal.details.retry_after_seconds > 0
    })
}

#[test]
fn status_write_back_keeps_unknown_fields_of_newer_version() {
    for (pointer, value) in newer_places() {
        let mut server = with_newer(pointer, value.clone());
        let before = server.objects[&pool("p")].clone();
        assert_eq!(before.to_value().pointer(pointer), Some(&value), "{pointer} is read");
        server.delete(&claim("a")).unwrap();
        assert_eq!(server.settle(), ["p"], "{pointer}");
        let after = &server.objects[&pool("p")];
        assert_eq!(without_figures(after), without_figures(&before), "{pointer}");
        assert_eq!(after.field("status")["capacity"]["exact"]["allocated"], "0", "{pointer}");
        assert_eq!(after.field("status")["largestFreePrefix"], 24, "{pointer}");
        assert_eq!(Object::from_bytes(&after.to_bytes()).unwrap(), **after, "{pointer} is stored");
    }
}

#[test]
fn user_changes_of_objects_of_newer_version_are_503() {
    for (pointer, value) in newer_places() {
        let mut server = with_newer(pointer, value);
        let label = |object: &mut Object| drop(object.metadata.labels.insert("a".to_owned(), "b".to_owned()));
        // The client omits what it does not know.
        let known = server.objects[&pool("p")].clone();
        let body = |object: &mut Object| {
            set(object, "/spec", json!({"cidr": "10.0.0.0/24"}));
            object.fields.remove("status");
            object.unknown_metadata.clear();
            label(object);
        };
        assert!(is_unavailable(server.update(&pool("p"), body)), "{pointer}");
        assert!(is_unavailable(server.update_status(&pool("p"), body)), "{pointer}");
        assert!(is_unavailable(server.delete(&pool("p"))), "{pointer}");
        assert_eq!(server.objects[&pool("p")], known, "{pointer}");
    }
}

#[test]
fn pool_of_newer_version_rejects_claims_and_child_pools() {
    for (pointer, value) in newer_places() {
        let mut server = with_newer(pointer, value);
        // A metadata field does not affect allocations.
        let takes = pointer.starts_with("/metadata");
        let named = json!({"poolRef": {"name": "p"}, "prefixLength": 28});
        assert_eq!(is_unavailable(server.create(claim("b"), named)), !takes, "{pointer}");
        let child = json!({"parentPoolRef": {"name": "p"}, "prefixLength": 28});
        assert_eq!(is_unavailable(server.create(pool("c"), child)), !takes, "{pointer}");
    }
}

#[test]
fn selector_skips_pool_of_newer_version() {
    let mut server = Server::new();
    for (name, cidr) in [("p", "10.0.0.0/24"), ("q", "10.0.1.0/30")] {
        let labeled = |meta: &mut apimachinery::object::ObjectMeta| {
            meta.labels.insert("tier".to_owned(), "web".to_owned());
        };
        server.create_with(pool(name), json!({ "cidr": cidr }), labeled).unwrap();
    }
    server.settles = false;
    change(&mut server, "p", |object| set(object, "/spec/allocation/strategy", json!("Scattered")));
    let selecting = |length: u8| json!({"poolSelector": {"matchLabels": {"tier": "web"}}, "prefixLength": length});
    let (found, _) = server.create(claim("a"), selecting(30)).unwrap();
    assert_eq!(found.text("/status/allocatedCIDR"), "10.0.1.0/30");
    assert!(is_unavailable(server.create(claim("b"), selecting(30))), "another replica may serve it");
}

#[test]
fn span_of_unknown_kind_is_not_allocated() {
    let mut server = Server::with_pool("p", "10.0.0.0/24");
    let mut restored = AllocatorState::default();
    restored.load_object(pool("p"), (*server.objects[&pool("p")]).clone()).unwrap();
    let space = state::space_of_pool(&Scope::platform(), "p");
    let first = u128::from(u32::from_be_bytes([10, 0, 0, 3]));
    let holder = "ipholds/platform//h".to_owned();
    restored.load_span(&Span { space, first, last: first + 6, holder: holder.clone() }).unwrap();
    let elsewhere = Span { space: "vault/platform/v".to_owned(), first: 0, last: 9, holder };
    restored.load_span(&elsewhere).unwrap();
    let found = restored.pool(&Scope::platform(), "p").unwrap();
    let free = |last: u8| {
        found.free.is_free(address::Prefix::new(address::Family::V4, first - 3 + u128::from(last), 32).unwrap())
    };
    assert_eq!((0..12).filter(|last| !free(*last)).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
    server.state = restored;
    let refused = server.delete(&pool("p")).unwrap_err();
    assert!(refused.message.contains("3 active allocation(s)"), "{}", refused.message);
}
