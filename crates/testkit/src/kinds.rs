//! Builders and accessors for the three kinds. They use JSON instead of the server's types, so that a test fails if the wire
//! format changes.
#![expect(clippy::panic, reason = "a test ends at an unexpected response")]

use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind, Status},
};
use serde_json::{Value, json};

/// The API group.
pub const GROUP: &str = "ipam.miloapis.com";
/// The API version.
pub const VERSION: &str = "v1alpha1";

/// Returns the API of pools.
pub fn pools(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource("IPPool", "ippools"))
}

/// Returns the API of the claims in a namespace.
pub fn claims(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource("IPClaim", "ipclaims"))
}

/// Returns the API of the allocations in a namespace.
pub fn allocations(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource("IPAllocation", "ipallocations"))
}

/// Returns a builder of a pool.
pub fn pool(name: &str) -> Pool {
    Pool(manifest("IPPool", name))
}

/// Returns a builder of a claim.
pub fn claim(name: &str) -> Claim {
    Claim(manifest("IPClaim", name))
}

/// Returns `status.allocatedCIDR` of a pool or a claim; empty if it is not set.
pub fn allocated_cidr(object: &DynamicObject) -> &str {
    at(object, "/status/allocatedCIDR").as_str().unwrap_or_default()
}

/// Returns the value at a JSON pointer into spec or status; null if it is absent.
pub fn at<'object>(object: &'object DynamicObject, pointer: &str) -> &'object Value {
    object.data.pointer(pointer).unwrap_or(&Value::Null)
}

/// Returns the Status of an API error. Panics for any other result.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("the server should have rejected this, but: {other:?}"),
    }
}

/// A builder of a pool. [`Pool::spec`] sets fields without a method here.
#[derive(Clone, Debug)]
pub struct Pool(Value);

/// A builder of a claim. [`Claim::spec`] sets fields without a method here.
#[derive(Clone, Debug)]
pub struct Claim(Value);

impl Pool {
    /// Sets the block of a root pool, or the exact block of a child pool.
    #[must_use]
    pub fn cidr(self, cidr: &str) -> Self {
        self.spec("cidr", cidr)
    }

    /// Sets the parent pool.
    #[must_use]
    pub fn parent(self, name: &str) -> Self {
        self.spec("parentPoolRef", json!({ "name": name }))
    }

    /// Sets the prefix length of a child pool.
    #[must_use]
    pub fn length(self, prefix_length: i32) -> Self {
        self.spec("prefixLength", prefix_length)
    }

    /// Sets the shortest and the longest prefix length of allocations.
    #[must_use]
    pub fn bounds(mut self, shortest: i32, longest: i32) -> Self {
        self.0["spec"]["allocation"]["minPrefixLength"] = shortest.into();
        self.0["spec"]["allocation"]["maxPrefixLength"] = longest.into();
        self
    }

    /// Sets the prefix length of claims without one.
    #[must_use]
    pub fn default_length(mut self, prefix_length: i32) -> Self {
        self.0["spec"]["allocation"]["defaultPrefixLength"] = prefix_length.into();
        self
    }

    /// Sets the allocation strategy.
    #[must_use]
    pub fn strategy(mut self, strategy: &str) -> Self {
        self.0["spec"]["allocation"]["strategy"] = strategy.into();
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = value.into();
        self
    }

    /// Sets any field of the spec.
    #[must_use]
    pub fn spec(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0["spec"][field] = value.into();
        self
    }
}

impl Claim {
    /// Sets the pool.
    #[must_use]
    pub fn pool(self, name: &str) -> Self {
        self.spec("poolRef", json!({ "name": name }))
    }

    /// Adds a label to the pool selector. A pool must match all labels.
    #[must_use]
    pub fn select(mut self, key: &str, value: &str) -> Self {
        self.0["spec"]["poolSelector"]["matchLabels"][key] = value.into();
        self
    }

    /// Sets the prefix length.
    #[must_use]
    pub fn length(self, prefix_length: i32) -> Self {
        self.spec("prefixLength", prefix_length)
    }

    /// Requests this address or block.
    #[must_use]
    pub fn address(self, address: &str) -> Self {
        self.spec("address", address)
    }

    /// Sets the IP family, which the pool must have.
    #[must_use]
    pub fn family(self, family: &str) -> Self {
        self.spec("ipFamily", family)
    }

    /// Sets the reclaim policy `Retain`: the block stays allocated after the claim is deleted.
    #[must_use]
    pub fn retain(self) -> Self {
        self.spec("reclaimPolicy", "Retain")
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = value.into();
        self
    }

    /// Adds a finalizer.
    #[must_use]
    pub fn finalizer(mut self, name: &str) -> Self {
        match &mut self.0["metadata"]["finalizers"] {
            Value::Array(finalizers) => finalizers.push(name.into()),
            none => *none = json!([name]),
        }
        self
    }

    /// Sets any field of the spec.
    #[must_use]
    pub fn spec(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0["spec"][field] = value.into();
        self
    }
}

impl From<Pool> for Value {
    fn from(pool: Pool) -> Self {
        pool.0
    }
}

impl From<Claim> for Value {
    fn from(claim: Claim) -> Self {
        claim.0
    }
}

impl From<Pool> for DynamicObject {
    fn from(pool: Pool) -> Self {
        object(pool.0)
    }
}

impl From<Claim> for DynamicObject {
    fn from(claim: Claim) -> Self {
        object(claim.0)
    }
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, kind), plural)
}

fn manifest(kind: &str, name: &str) -> Value {
    json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": { "name": name }, "spec": {} })
}

fn object(manifest: Value) -> DynamicObject {
    serde_json::from_value(manifest).expect("an object with metadata is a dynamic object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_set_the_documented_fields() {
        for (built, expected) in [
            (
                Value::from(pool("root").cidr("10.0.0.0/8").label("tier", "edge"))["spec"].clone(),
                json!({ "cidr": "10.0.0.0/8" }),
            ),
            (
                Value::from(
                    pool("child").parent("root").length(16).bounds(20, 28).default_length(24).strategy("BestFit"),
                )["spec"]
                    .clone(),
                json!({
                    "parentPoolRef": { "name": "root" },
                    "prefixLength": 16,
                    "allocation": { "minPrefixLength": 20, "maxPrefixLength": 28, "defaultPrefixLength": 24, "strategy": "BestFit" },
                }),
            ),
            (
                Value::from(claim("a").pool("root").length(24).retain())["spec"].clone(),
                json!({ "poolRef": { "name": "root" }, "prefixLength": 24, "reclaimPolicy": "Retain" }),
            ),
            (
                Value::from(claim("a").select("tier", "edge").address("10.0.0.1").family("IPv4"))["spec"].clone(),
                json!({ "poolSelector": { "matchLabels": { "tier": "edge" } }, "address": "10.0.0.1", "ipFamily": "IPv4" }),
            ),
        ] {
            assert_eq!(built, expected);
        }
    }

    #[test]
    fn dynamic_object_has_type_metadata_and_spec() {
        let object = DynamicObject::from(claim("a").finalizer("x/y").finalizer("x/z").label("k", "v").pool("root"));
        let types = object.types.clone().unwrap();
        assert_eq!((types.api_version.as_str(), types.kind.as_str()), ("ipam.miloapis.com/v1alpha1", "IPClaim"));
        assert_eq!(object.metadata.finalizers.as_deref(), Some(&["x/y".to_owned(), "x/z".to_owned()][..]));
        assert_eq!(at(&object, "/spec/poolRef/name"), "root");
        assert_eq!((at(&object, "/status/phase"), allocated_cidr(&object)), (&Value::Null, ""));
    }

    #[test]
    fn refusal_returns_status_of_api_error() {
        let status = Status::failure("no", "Invalid").with_code(422);
        assert_eq!(refusal::<()>(Err(kube::Error::Api(Box::new(status)))).code, 422);
    }

    #[test]
    #[should_panic(expected = "should have rejected")]
    fn refusal_panics_on_success() {
        refusal(Ok(()));
    }
}
