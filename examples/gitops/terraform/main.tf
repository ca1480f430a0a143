terraform {
  required_providers {
    kubernetes = {
      source = "hashicorp/kubernetes"
    }
  }
}

provider "kubernetes" {
  config_path = "data/admin.kubeconfig"
}

resource "kubernetes_manifest" "pool" {
  manifest = {
    apiVersion = "ipam.miloapis.com/v1alpha1"
    kind       = "IPPool"
    metadata   = { name = "lab" }
    spec       = { cidr = "192.168.0.0/16" }
  }
}

resource "kubernetes_manifest" "claim" {
  manifest = {
    apiVersion = "ipam.miloapis.com/v1alpha1"
    kind       = "IPClaim"
    metadata   = { name = "lab", namespace = "default" }
    spec = {
      poolRef      = { name = kubernetes_manifest.pool.manifest.metadata.name }
      prefixLength = 24
    }
  }
}

output "block" {
  value = kubernetes_manifest.claim.object.status.allocatedCIDR
}
