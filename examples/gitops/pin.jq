# From a list of claims: a command for each that does not name its block, which writes it into the spec.
.items[]
| select(.spec.address | not)
| ({spec: {address: .status.allocatedCIDR}} | tojson) as $pin
| "kubectl patch ipclaim \(.metadata.name) -n \(.metadata.namespace) --type=merge -p '\($pin)'"
