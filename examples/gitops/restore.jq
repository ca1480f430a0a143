# From a list of objects with their status: a list that creates the namespaces, pools and claims again, each with its block.
def of_kind($kind): map(select(.kind == $kind));
def prefix_length: .status.allocatedCIDR | split("/")[1] | tonumber;
def pinned:
  if .kind == "IPClaim" then .spec.address = .status.allocatedCIDR
  elif .spec.parentPoolRef then .spec.cidr = .status.allocatedCIDR
  else . end;
def what_users_wrote:
  del(.status)
  | .metadata |= ({name, namespace, labels, annotations, finalizers} | with_entries(select(.value != null)))
  # What kubectl applied last has no pin, or one that it would take for the repository's.
  | del(.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]);

.items
| (of_kind("Namespace") | map(select(.metadata.name | IN("default", "kube-system") | not)))
  + (of_kind("IPPool") | sort_by(prefix_length)) # a parent is larger than its children
  + of_kind("IPClaim")
| {apiVersion: "v1", kind: "List", items: map(pinned | what_users_wrote)}
