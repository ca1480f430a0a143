package suite

import (
	"fmt"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
)

const (
	readAndWrite = "create delete deletecollection get list patch update watch"
	// Only the server creates allocations.
	readAndLabel = "delete deletecollection get list patch watch"
)

// Discoveries checks discovery and OpenAPI.
func Discoveries(w *World) []Check {
	return []Check{
		{"aggregated discovery", func(t *T) { resources(t, w.Discovery); w.aggregated(t) }},
		{"legacy discovery", func(t *T) { legacy := w.legacy(t); resources(t, legacy) }},
		{"aggregated and legacy discovery agree", w.sameDiscovery},
		{"a REST mapper knows kinds, short names and categories", w.mapper},
		{"the server's version", w.version},
		{"OpenAPI v3 through its index", w.openAPIv3},
		{"OpenAPI v2 as protobuf", w.openAPIv2},
	}
}

func (w *World) legacy(t *T) *discovery.DiscoveryClient {
	client, err := discovery.NewDiscoveryClientForConfig(w.Config)
	t.NoError(err, "a discovery client")
	client.UseLegacyDiscovery = true
	return client
}

// told returns one line for each resource of the group.
func told(t *T, client discovery.DiscoveryInterface) (lines []string) {
	_, lists, err := client.ServerGroupsAndResources()
	t.NoError(err, "discovery")
	for _, list := range lists {
		if list.GroupVersion != APIVersion {
			continue
		}
		for _, resource := range list.APIResources {
			verbs := append([]string(nil), resource.Verbs...)
			sort.Strings(verbs)
			lines = append(lines, fmt.Sprintf("%s %s %v %s %v %v [%s]", resource.Name, resource.SingularName, resource.Namespaced,
				resource.Kind, resource.ShortNames, resource.Categories, strings.Join(verbs, " ")))
		}
	}
	sort.Strings(lines)
	return lines
}

func resources(t *T, client discovery.DiscoveryInterface) {
	wanted := []string{
		"ipallocations ipallocation true IPAllocation [ipalloc] [ipam] [" + readAndLabel + "]",
		"ipclaims ipclaim true IPClaim [ipclaim] [ipam] [" + readAndWrite + "]",
		"ippools ippool false IPPool [ippool] [ipam] [" + readAndWrite + "]",
	}
	var found []string
	for _, line := range told(t, client) {
		if !strings.Contains(strings.SplitN(line, " ", 2)[0], "/") {
			found = append(found, line)
		} else if !strings.Contains(line, "/status ") || !strings.Contains(line, "[get patch") {
			t.Errorf("unexpected subresource: %s", line)
		}
	}
	t.Equal(strings.Join(found, "\n"), strings.Join(wanted, "\n"), "resources")
}

// aggregated checks that the client requested only the aggregated documents, and none for each version.
func (w *World) aggregated(t *T) {
	mark := w.requests.mark()
	told(t, w.Discovery)
	for _, request := range w.requests.since(mark) {
		if path := request.URL.Path; path != "/apis" && path != "/api" {
			t.Errorf("requested %s", path)
		}
	}
}

func (w *World) sameDiscovery(t *T) {
	// client-go sets the singular name of a subresource to that of its parent in aggregated discovery only.
	strip := func(lines []string) string {
		for i, line := range lines {
			words := strings.SplitN(line, " ", 3)
			if strings.Contains(words[0], "/") {
				lines[i] = words[0] + " " + words[2]
			}
		}
		return strings.Join(lines, "\n")
	}
	t.Equal(strip(told(t, w.Discovery)), strip(told(t, w.legacy(t))), "aggregated and legacy discovery")
	preferred, err := discovery.ServerPreferredResources(w.Discovery)
	t.NoError(err, "preferred resources")
	if len(preferred) == 0 {
		t.Errorf("no preferred resources")
	}
}

func (w *World) mapper(t *T) {
	cached := memory.NewMemCacheClient(w.Discovery)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached)
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: Group, Kind: "IPClaim"})
	t.NoError(err, "mapping IPClaim")
	t.Equal(fmt.Sprint(mapping.Resource, mapping.Scope.Name()), fmt.Sprint(Claims, "namespace"), "the resource of IPClaim")
	kind, err := mapper.KindFor(schema.GroupVersionResource{Resource: "ippool"})
	t.NoError(err, "the kind of ippool")
	t.Equal(kind, Version.WithKind("IPPool"), "the kind of ippool")
	members, is := restmapper.NewDiscoveryCategoryExpander(cached).Expand("ipam")
	var names []string
	for _, member := range members {
		names = append(names, member.Resource)
	}
	sort.Strings(names)
	t.Equal(fmt.Sprint(names, is), "[ipallocations ipclaims ippools] true", "the category ipam")
}

func (w *World) version(t *T) {
	version, err := w.Discovery.ServerVersion()
	t.NoError(err, "the version")
	if version.Major == "" || version.Minor == "" || !strings.HasPrefix(version.GitVersion, "v") {
		t.Errorf("incomplete: %+v", version)
	}
}

func (w *World) openAPIv3(t *T) {
	paths, err := w.Discovery.OpenAPIV3().Paths()
	t.NoError(err, "the index")
	group, is := paths["apis/"+APIVersion]
	if !is {
		t.Fatalf("the index lacks the group: %v", paths)
	}
	document, err := group.Schema("application/json")
	t.NoError(err, "the document")
	if len(document) < 1000 || !strings.Contains(string(document), "IPClaim") {
		t.Errorf("the document has %d bytes", len(document))
	}
}

func (w *World) openAPIv2(t *T) {
	document, err := w.Discovery.OpenAPISchema()
	t.NoError(err, "the document")
	kinds := map[string]bool{}
	for _, definition := range document.GetDefinitions().GetAdditionalProperties() {
		if strings.Contains(definition.GetName(), "/") {
			t.Errorf("a definition has a slash in its name: %s", definition.GetName())
		}
		for _, extension := range definition.GetValue().GetVendorExtension() {
			if extension.GetName() == "x-kubernetes-group-version-kind" {
				for _, kind := range []string{"IPPool", "IPClaim", "IPAllocation"} {
					if strings.Contains(extension.GetValue().GetYaml(), "kind: "+kind+"\n") || strings.Contains(extension.GetValue().GetYaml(), `"`+kind+`"`) {
						kinds[kind] = true
					}
				}
			}
		}
	}
	t.Equal(len(kinds), 3, fmt.Sprint("kinds with a schema: ", kinds))
}
