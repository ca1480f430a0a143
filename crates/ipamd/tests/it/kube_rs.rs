//! kube-rs features that the other tests do not cover: reflector stores, discovery, entries. Each watch is started both
//! with a list and with streaming lists.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    time::Duration,
};

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta},
    discovery::{self, Discovery, Scope, verbs},
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde_json::json;
use testkit::{allocated_cidr, at, claim, claims, refusal};
use tokio::{task::JoinHandle, time::timeout};

use crate::support::{ServerFixture, TIMEOUT, assert_causes, assert_refused};

/// The interval between two checks of a reflector store.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

fn both_ways() -> [watcher::Config; 2] {
    // The page is smaller than the collection, so that the list needs several pages.
    [watcher::Config::default().page_size(7), watcher::Config::default().streaming_lists()]
}

fn kind(name: &str) -> GroupVersionKind {
    GroupVersionKind::gvk("ipam.miloapis.com", "v1alpha1", name)
}

/// The names and resourceVersions of the listed claims.
async fn listed(front: &ServerFixture) -> BTreeMap<String, String> {
    let list = front.claims.list(&ListParams::default()).await.unwrap();
    list.items.iter().map(|claim| (claim.name_any(), claim.resource_version().unwrap())).collect()
}

/// Creates claims, labels the even ones and deletes every third, with four concurrent clients.
async fn write_claims(front: &ServerFixture, stem: &str) {
    let hands = (0..4).map(|hand| {
        let claims = claims(&front.another_client(), "default");
        let stem = stem.to_owned();
        tokio::spawn(async move {
            for n in (hand..24).step_by(4) {
                let name = format!("{stem}{n}");
                claims.create(&PostParams::default(), &claim(&name).pool("root").length(32).into()).await.unwrap();
                if n % 2 == 0 {
                    let change = Patch::Merge(json!({ "metadata": { "labels": { "seen": "yes" } } }));
                    claims.patch(&name, &PatchParams::default(), &change).await.unwrap();
                }
                if n % 3 == 0 {
                    claims.delete(&name, &DeleteParams::default()).await.unwrap();
                }
            }
        })
    });
    for hand in hands.collect::<Vec<JoinHandle<()>>>() {
        hand.await.unwrap();
    }
}

#[tokio::test]
async fn watcher_delivers_each_change_once_and_in_order() {
    for config in both_ways() {
        let front = ServerFixture::with_pool().await;
        for n in 0..20 {
            front.claim(claim(&format!("old{n}")).pool("root").length(32)).await;
        }
        let mut events = pin!(watcher(front.claims.clone(), config));
        let mut initial = Vec::new();
        assert!(matches!(next(&mut events).await, watcher::Event::Init));
        loop {
            match next(&mut events).await {
                watcher::Event::InitApply(claim) => initial.push(claim.name_any()),
                watcher::Event::InitDone => break,
                other => panic!("{other:?} before the initial list is complete"),
            }
        }
        initial.sort_unstable();
        initial.dedup();
        assert_eq!(initial.len(), 20);
        write_claims(&front, "new").await;
        let mut lives: HashMap<String, String> = HashMap::new();
        let mut last = 0;
        // 24 creates, 12 label changes, 8 deletes.
        for _ in 0..44 {
            let (claim, what) = match next(&mut events).await {
                watcher::Event::Apply(claim) => (claim, 'a'),
                watcher::Event::Delete(claim) => (claim, 'd'),
                other => panic!("{other:?} after the initial list"),
            };
            let revision: u64 = claim.resource_version().unwrap().parse().unwrap();
            assert!(revision > last, "{} at {revision} comes after {last}", claim.name_any());
            last = revision;
            lives.entry(claim.name_any()).or_default().push(what);
        }
        for n in 0..24 {
            let life = ["a", "aa", "ad", "aad"][usize::from(n % 2 == 0) + 2 * usize::from(n % 3 == 0)];
            assert_eq!(lives[&format!("new{n}")], life, "new{n}");
        }
    }
}

async fn next<S, K>(events: &mut S) -> watcher::Event<K>
where
    S: Stream<Item = watcher::Result<watcher::Event<K>>> + Unpin,
{
    timeout(TIMEOUT, events.try_next()).await.expect("an event in time").unwrap().expect("the stream is open")
}

#[tokio::test]
async fn reflector_store_equals_the_list() {
    for config in both_ways() {
        let front = ServerFixture::with_pool().await;
        for n in 0..20 {
            front.claim(claim(&format!("old{n}")).pool("root").length(32)).await;
        }
        let resource = ApiResource::from_gvk(&kind("IPClaim"));
        let writer = reflector::store::Writer::new(resource);
        let store = writer.as_reader();
        let follow = reflector(writer, watcher(front.claims.clone(), config)).for_each(|_| async {});
        let follower = tokio::spawn(follow);
        timeout(TIMEOUT, store.wait_until_ready()).await.unwrap().unwrap();
        write_claims(&front, "new").await;
        front.delete_claim("old7").await;
        let wanted = listed(&front).await;
        let stored = || -> BTreeMap<String, String> {
            store.state().iter().map(|claim| (claim.name_any(), claim.resource_version().unwrap())).collect()
        };
        let caught_up = async {
            while stored() != wanted {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        assert!(timeout(TIMEOUT, caught_up).await.is_ok(), "stored: {:?}, listed: {wanted:?}", stored());
        follower.abort();
    }
}

#[tokio::test]
async fn metadata_watcher_gets_partial_objects() {
    for config in both_ways() {
        let front = ServerFixture::with_pool().await;
        for n in 0..10 {
            front.claim(claim(&format!("old{n}")).pool("root").length(32).label("colour", "red")).await;
        }
        let resource = ApiResource::from_gvk(&kind("IPClaim"));
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::namespaced_with(front.another_client(), "default", &resource);
        let mut seen = pin!(watcher(api, config).applied_objects());
        for _ in 0..10 {
            let claim = timeout(TIMEOUT, seen.try_next()).await.unwrap().unwrap().unwrap();
            assert_eq!((claim.labels()["colour"].as_str(), claim.uid().is_some()), ("red", true));
            let types = claim.types.as_ref().unwrap();
            assert_eq!((types.kind.as_str(), types.api_version.as_str()), ("PartialObjectMetadata", "meta.k8s.io/v1"));
        }
        front.claim(claim("new").pool("root").length(32)).await;
        let claim = timeout(TIMEOUT, seen.try_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(claim.name_any(), "new");
    }
}

#[tokio::test]
async fn partial_metadata_can_be_read_and_patched() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(32)).await;
    let list = front.claims.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), 1);
    let change = json!({ "metadata": { "labels": { "x": "y" } } });
    let patched = front.claims.patch_metadata("a", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    assert_eq!(patched.labels()["x"], "y");
    let read = front.claims.get_metadata("a").await.unwrap();
    assert_eq!((read.labels(), read.resource_version()), (patched.labels(), patched.resource_version()));
}

fn assert_discovered(discovery: &Discovery) {
    assert!(discovery.has_group("ipam.miloapis.com"));
    for (name, plural, scope) in [
        ("IPPool", "ippools", Scope::Cluster),
        ("IPClaim", "ipclaims", Scope::Namespaced),
        ("IPAllocation", "ipallocations", Scope::Namespaced),
    ] {
        let (resource, capabilities) = discovery.resolve_gvk(&kind(name)).unwrap();
        assert_eq!((resource.plural.as_str(), &capabilities.scope), (plural, &scope));
        for verb in [verbs::GET, verbs::LIST, verbs::WATCH, verbs::DELETE, verbs::PATCH] {
            assert_eq!(resource.kind, name);
            assert!(capabilities.supports_operation(verb), "{name} can {verb}");
        }
        assert_eq!(capabilities.supports_operation(verbs::CREATE), name != "IPAllocation", "{name}");
        let subresources: Vec<&str> =
            capabilities.subresources.iter().map(|(subresource, _)| subresource.plural.as_str()).collect();
        assert!(subresources.iter().any(|plural| plural.ends_with("status")), "{name} has {subresources:?}");
    }
}

#[tokio::test]
async fn discovery_finds_all_kinds() {
    let front = ServerFixture::open().await;
    assert_discovered(&Discovery::new(front.another_client()).run().await.unwrap());
    assert_discovered(&Discovery::new(front.another_client()).run_aggregated().await.unwrap());
}

#[tokio::test]
async fn discovery_of_one_group_finds_its_kinds() {
    let front = ServerFixture::open().await;
    let (client, group) = (front.another_client(), "ipam.miloapis.com");
    assert_discovered(&Discovery::new(client.clone()).filter(&[group]).run().await.unwrap());
    assert_discovered(&Discovery::new(client.clone()).filter(&[group]).run_aggregated().await.unwrap());
    let one = discovery::group(&client, group).await.unwrap();
    assert_eq!(one.preferred_version_or_latest(), "v1alpha1");
    let (resource, capabilities) = discovery::pinned_kind(&client, &kind("IPClaim")).await.unwrap();
    assert_eq!((resource.plural.as_str(), capabilities.scope), ("ipclaims", Scope::Namespaced));
    let (resource, _) = discovery::pinned_kind(&client, &kind("IPPool")).await.unwrap();
    let pools: Api<DynamicObject> = Api::all_with(client, &resource);
    assert!(pools.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn entry_api_creates_then_updates() {
    let front = ServerFixture::with_pool().await;
    let wanted = || claim("entry").pool("root").length(32).into();
    let mut entry = front.claims.entry("entry").await.unwrap().or_insert(wanted);
    entry.commit(&PostParams::default()).await.unwrap();
    let made = entry.into_object();
    assert_eq!(at(&made, "/status/phase"), "Bound");
    let mut entry = front.claims.entry("entry").await.unwrap().or_insert(wanted).and_modify(|claim| {
        claim.labels_mut().insert("x".to_owned(), "y".to_owned());
    });
    entry.commit(&PostParams::default()).await.unwrap();
    let changed = entry.into_object();
    assert_eq!((changed.labels()["x"].as_str(), allocated_cidr(&changed)), ("y", allocated_cidr(&made)));
    // Without a change, a commit writes nothing, also after a write by another client.
    let mut entry = front.claims.entry("entry").await.unwrap().or_insert(wanted);
    entry.commit(&PostParams::default()).await.unwrap();
    assert_eq!(entry.get().resource_version(), changed.resource_version());
}

#[tokio::test]
async fn delete_collection_honors_label_selector() {
    let front = ServerFixture::with_pool().await;
    for n in 0..9 {
        let third = (n % 3).to_string();
        front.claim(claim(&format!("c{n}")).pool("root").length(32).label("third", &third)).await;
    }
    let third = ListParams::default().labels("third=1");
    let gone = front.claims.delete_collection(&DeleteParams::default(), &third).await.unwrap();
    let gone: Vec<String> =
        gone.left().expect("the list of deleted claims").items.iter().map(kube::ResourceExt::name_any).collect();
    assert_eq!(gone, ["c1", "c4", "c7"]);
    assert_eq!(listed(&front).await.len(), 6);
    let ghostly = DeleteParams::default().dry_run();
    front.claims.delete_collection(&ghostly, &ListParams::default()).await.unwrap();
    assert_eq!(listed(&front).await.len(), 6);
    front.claims.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    assert_eq!(listed(&front).await.len(), 0);
    assert_eq!(front.addresses("root").await.1, 0, "every block is released");
}

/// The apply patch of a claim with these labels.
fn config(name: &str, labels: serde_json::Value) -> Patch<serde_json::Value> {
    Patch::Apply(json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim",
        "metadata": { "name": name, "labels": labels },
        "spec": { "poolRef": { "name": "root" }, "prefixLength": 32 },
    }))
}

#[tokio::test]
async fn apply_creates_then_tracks_field_ownership() {
    let front = ServerFixture::with_pool().await;
    let (alice, bob) = (PatchParams::apply("alice"), PatchParams::apply("bob"));
    let first = front.claims.patch("a", &alice, &config("a", json!({ "x": "1", "y": "1" }))).await.unwrap();
    assert_eq!(at(&first, "/status/phase"), "Bound");
    for _ in 0..3 {
        let again = front.claims.patch("a", &alice, &config("a", json!({ "x": "1", "y": "1" }))).await.unwrap();
        assert_eq!(again.resource_version(), first.resource_version(), "the same configuration changes nothing");
    }
    let status = refusal(front.claims.patch("a", &bob, &config("a", json!({ "x": "2" }))).await);
    assert_refused(&status, 409, "Conflict", &["conflict with \"alice\"", ".metadata.labels.x"]);
    assert_causes(&status, &[("FieldManagerConflict", ".metadata.labels.x")]);
    let rehearsal = bob.clone().force().dry_run();
    let taken = front.claims.patch("a", &rehearsal, &config("a", json!({ "x": "2" }))).await.unwrap();
    assert_eq!(taken.labels()["x"], "2");
    assert_eq!(front.claims.get("a").await.unwrap().resource_version(), first.resource_version());
    let taken = front.claims.patch("a", &bob.force(), &config("a", json!({ "x": "2" }))).await.unwrap();
    assert_eq!(taken.labels()["x"], "2");
    let pruned = front.claims.patch("a", &alice, &config("a", json!({}))).await.unwrap();
    assert_eq!(pruned.labels().iter().collect::<Vec<_>>(), [(&"x".to_owned(), &"2".to_owned())]);
    let managers: Vec<_> = pruned.managed_fields().iter().filter_map(|entry| entry.manager.as_deref()).collect();
    assert_eq!(managers, ["alice", "bob"]);
}

#[tokio::test]
async fn apply_to_status_keeps_other_conditions() {
    let front = ServerFixture::with_pool().await;
    front.claim(claim("a").pool("root").length(32)).await;
    let seen = Patch::Apply(json!({
        "apiVersion": "ipam.miloapis.com/v1alpha1", "kind": "IPClaim", "metadata": { "name": "a" },
        "status": { "conditions": [{
            "type": "Seen", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] },
    }));
    let controller = PatchParams::apply("controller").force();
    let changed = front.claims.patch_status("a", &controller, &seen).await.unwrap();
    let types: Vec<_> =
        at(&changed, "/status/conditions").as_array().unwrap().iter().map(|condition| &condition["type"]).collect();
    assert_eq!(types, ["Allocated", "Ready", "Seen"]);
    let again = front.claims.patch_status("a", &controller, &seen).await.unwrap();
    assert_eq!(again.resource_version(), changed.resource_version());
}
