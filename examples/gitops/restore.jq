# Input: a list of objects with their status. Output: a list that recreates the namespaces, pools and claims, each with its block.
def of_kind($kind): map(select(.kind == $kind));
def prefix_length: .status.allocatedCIDR | split("/")[1] | tonumber;
def pinned:
  if .kind == "IPClaim" then .spec.address = .status.allocatedCIDR
  elif .spec.parentPoolRef then .spec.cidr = .status.allocatedCIDR
  else . end;
def what_users_wrote:
  del(.status)
  | .metadata |= ({name, namespace, labels, annotations, finalizers} | with_entries(select(.value != null)))
  # The last applied configuration has no pinned block, or would make kubectl treat it as part of the repository.
  | del(.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]);

.items
| (of_kind("Namespace") | map(select(.metadata.name | IN("default", "kube-system") | not)))
  + (of_kind("IPPool") | sort_by(prefix_length)) # parents first: a parent is larger than its children
  + of_kind("IPClaim")
| {apiVersion: "v1", kind: "List", items: map(pinned | what_users_wrote)}
