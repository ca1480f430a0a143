# Input: a list of claims. Output: for each claim without spec.address, a command that sets it to the claim's block.
.items[]
| select(.spec.address | not)
| ({spec: {address: .status.allocatedCIDR}} | tojson) as $pin
| "kubectl patch ipclaim \(.metadata.name) -n \(.metadata.namespace) --type=merge -p '\($pin)'"
