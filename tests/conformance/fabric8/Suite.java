package conformance;

import static conformance.Harness.equal;
import static conformance.Harness.that;

import io.fabric8.kubernetes.api.model.GenericKubernetesResource;
import io.fabric8.kubernetes.api.model.GenericKubernetesResourceList;
import io.fabric8.kubernetes.api.model.NamespaceBuilder;
import io.fabric8.kubernetes.api.model.ObjectMetaBuilder;
import io.fabric8.kubernetes.client.ConfigBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.KubernetesClientException;
import io.fabric8.kubernetes.client.Version;
import io.fabric8.kubernetes.client.Watch;
import io.fabric8.kubernetes.client.dsl.NonDeletingOperation;
import io.fabric8.kubernetes.client.dsl.NonNamespaceOperation;
import io.fabric8.kubernetes.client.dsl.Resource;
import io.fabric8.kubernetes.client.http.HttpClient;
import io.fabric8.kubernetes.client.informers.SharedIndexInformer;
import io.fabric8.kubernetes.client.jdkhttp.JdkHttpClientFactory;
import io.fabric8.kubernetes.client.vertx5.Vertx5HttpClientFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Checks of fabric8's client with the server of KUBECONFIG. The argument selects its HTTP client: vertx or jdk.
 *
 * <p>CONFORMANCE_NET (two octets) is the address space of this run, CONFORMANCE_REFUSALS the table of rejected creates, and
 * CONFORMANCE_RESTART a command that restarts the server.
 */
public final class Suite {
    private static final String API_VERSION = "ipam.miloapis.com/v1alpha1";

    private final Harness harness = new Harness();
    private final Wire wire = new Wire();
    private final String net = System.getenv("CONFORMANCE_NET");
    private final String run = "conformance-f8-" + Long.toString(System.currentTimeMillis(), 36);
    private final KubernetesClient client;
    private int names;

    /** The table of rejected creates. */
    record Table(List<GenericKubernetesResource> before, List<String> deleted, List<Refusal> refusals) {}

    /** A create and its expected error. */
    record Refusal(
            String what, int code, String reason, List<String> says, List<String> causes, GenericKubernetesResource object) {}

    public static void main(String[] arguments) throws Exception {
        HttpClient.Factory factory =
                switch (arguments[0]) {
                    case "vertx" -> new Vertx5HttpClientFactory();
                    case "jdk" -> new JdkHttpClientFactory();
                    default -> throw new IllegalArgumentException(arguments[0]);
                };
        Suite suite = new Suite(factory);
        suite.checks();
        suite.remove();
        System.exit(suite.harness.close("fabric8 " + Version.clientVersion() + " on " + arguments[0]));
    }

    private Suite(HttpClient.Factory factory) {
        // By default it retries a request with response 507 ten times, with growing delays.
        var config = new ConfigBuilder().withRequestRetryBackoffLimit(0).build();
        var builder = new KubernetesClientBuilder().withConfig(config).withHttpClientFactory(factory);
        client = builder.withHttpClientBuilderConsumer(http -> http.addOrReplaceInterceptor("wire", wire)).build();
        client.namespaces().resource(new NamespaceBuilder().withNewMetadata().withName(run).endMetadata().build()).create();
        create(object("IPPool", run, Map.of("cidr", net + ".0.0/16")));
    }

    private void checks() throws Exception {
        harness.check("create, get and list", this::createGetList);
        harness.check("an update of an old version is a conflict", this::conflict);
        harness.check("createOr updates what is there, and does not take a refusal for it", this::createOr);
        harness.check("edit", this::edit);
        harness.check("server-side apply: create, again, conflict, force", this::apply);
        harness.check("a watch by WebSocket gets the events of an object in order", this::watch);
        harness.check("a watch by WebSocket goes on when the server restarts", this::watchOverRestart);
        harness.check("an informer goes on when the server restarts", this::informerOverRestart);
        harness.check("delete, and Retain", this::deleteAndRetain);
        Table table = table();
        harness.check("objects for the rejected creates", () -> prepare(table));
        for (Refusal refusal : table.refusals()) {
            harness.check("rejected: " + refusal.what(), () -> refused(refusal));
        }
    }

    private void createGetList() {
        GenericKubernetesResource made = create(labelled(claim(name("create")), "colour", "red"));
        equal(made.get("status", "phase"), "Bound", "phase in the response to the create");
        equal(client.resource(made).get(), made, "the stored claim");
        var listed = claims().withLabel("colour", "red").list().getItems();
        equal(listed, List.of(made), "the list");
        KubernetesClientException again = refusal(() -> create(claim(made.getMetadata().getName())));
        equal(again.getCode() + " " + again.getStatus().getReason(), "409 AlreadyExists", "a create of the same name");
    }

    private void conflict() {
        GenericKubernetesResource old = create(claim(name("conflict")));
        client.resource(old).edit(object -> labelled(object, "a", "1"));
        KubernetesClientException error = refusal(() -> client.resource(labelled(old, "a", "2")).update());
        equal(error.getCode() + " " + error.getStatus().getReason(), "409 Conflict", "an update of an old version");
    }

    private void createOr() {
        GenericKubernetesResource made = create(claim(name("or")));
        GenericKubernetesResource wanted = labelled(claim(made.getMetadata().getName()), "a", "1");
        client.resource(wanted).createOr(NonDeletingOperation::update);
        equal(client.resource(made).get().getMetadata().getLabels(), Map.of("a", "1"), "labels afterwards");
        var overlapping = object("IPPool", run + "-or", Map.of("cidr", net + ".240.0/24"));
        KubernetesClientException error =
                refusal(() -> client.resource(overlapping).createOr(NonDeletingOperation::update));
        equal(error.getCode(), 422, "a rejected create: " + error.getMessage());
    }

    private void edit() {
        GenericKubernetesResource made = create(claim(name("edit")));
        var edited = client.resource(made).edit(object -> labelled(object, "a", "1"));
        equal(edited.getMetadata().getLabels(), Map.of("a", "1"), "labels afterwards");
    }

    private void apply() {
        String name = name("apply");
        GenericKubernetesResource first = applied(name, "alice", "1");
        equal(first.get("status", "phase"), "Bound", "phase");
        String version = applied(name, "alice", "1").getMetadata().getResourceVersion();
        equal(version, first.getMetadata().getResourceVersion(), "resourceVersion after the same apply");
        KubernetesClientException error = refusal(() -> applied(name, "bob", "2"));
        equal(error.getCode() + " " + causes(error), "409 [FieldManagerConflict@.metadata.labels.a]", "a conflict");
        var forced = client.resource(labelled(claim(name), "a", "2")).fieldManager("bob").forceConflicts().serverSideApply();
        equal(forced.getMetadata().getLabels().get("a"), "2", "label after force");
    }

    private GenericKubernetesResource applied(String name, String manager, String label) {
        return client.resource(labelled(claim(name), "a", label)).fieldManager(manager).serverSideApply();
    }

    private void watch() throws Exception {
        Seen seen = new Seen();
        String name = name("watch");
        wire.forget();
        try (Watch watch = claims().withName(name).watch(seen)) {
            GenericKubernetesResource made = create(claim(name));
            client.resource(made).edit(object -> labelled(object, "a", "1"));
            client.resource(made).delete();
            seen.eventually("ADDED " + name, "MODIFIED " + name, "DELETED " + name);
        }
        equal(wire.watches(), "1 requested, 0 not by WebSocket", "watches");
    }

    private void watchOverRestart() throws Exception {
        Seen seen = new Seen();
        String label = name("restart");
        wire.forget();
        try (Watch watch = claims().withLabel("watch", label).watch(seen)) {
            create(labelled(claim(label + "-before"), "watch", label));
            seen.eventually("ADDED " + label + "-before");
            restart();
            create(labelled(claim(label + "-after"), "watch", label));
            seen.eventually("ADDED " + label + "-before", "ADDED " + label + "-after");
        }
        that(wire.watches().endsWith(" 0 not by WebSocket"), wire.watches());
    }

    private void informerOverRestart() throws Exception {
        String label = name("inform");
        GenericKubernetesResource before = create(labelled(claim(label + "-before"), "inform", label));
        Names names = new Names();
        try (SharedIndexInformer<GenericKubernetesResource> informer = claims().withLabel("inform", label).inform(names)) {
            names.eventually(Set.of(label + "-before"));
            restart();
            create(labelled(claim(label + "-after"), "inform", label));
            client.resource(before).delete();
            names.eventually(Set.of(label + "-after"));
        }
    }

    private void deleteAndRetain() {
        GenericKubernetesResource gone = create(claim(name("delete")));
        client.resource(gone).delete();
        equal(client.resource(gone).get(), null, "the deleted claim");
        var kept = create(object("IPClaim", name("retain"), Map.of(
                "poolRef", Map.of("name", run), "prefixLength", 30, "reclaimPolicy", "Retain")));
        client.resource(kept).delete();
        String block = kept.get("status", "allocatedCIDR");
        var allocations = of("IPAllocation").withField("status.allocatedCIDR", block).list().getItems();
        equal(allocations.size(), 1, "allocations of " + block);
        GenericKubernetesResource allocation = allocations.get(0);
        equal(allocation.get("status", "phase"), "Retained", "phase of the allocation");
        equal(allocation.get("spec", "claimRef"), null, "claimRef of the allocation");
        client.resource(allocation).delete();
        var next = create(object("IPClaim", name("next"), Map.of("poolRef", Map.of("name", run), "address", block)));
        equal(next.get("status", "allocatedCIDR"), block, "block of the next claim");
    }

    private Table table() throws Exception {
        String text = Files.readString(Path.of(System.getenv("CONFORMANCE_REFUSALS")));
        text = text.replace("$NET", net).replace("$RUN", run).replace("$NS", run);
        return client.getKubernetesSerialization().unmarshal(text, Table.class);
    }

    private void prepare(Table table) {
        table.before().forEach(this::create);
        table.deleted().forEach(name -> claims().withName(name).delete());
    }

    private void refused(Refusal wanted) {
        KubernetesClientException error = refusal(() -> create(wanted.object()));
        equal(error.getCode() + " " + error.getStatus().getReason(), wanted.code() + " " + wanted.reason(), error.getMessage());
        for (String text : wanted.says()) {
            that(error.getMessage().contains(text), "the message lacks " + text + ": " + error.getMessage());
        }
        that(causes(error).containsAll(wanted.causes()), "causes: " + causes(error) + ", not " + wanted.causes());
    }

    private static List<String> causes(KubernetesClientException error) {
        var details = error.getStatus().getDetails();
        if (details == null) {
            return List.of();
        }
        return details.getCauses().stream().map(cause -> cause.getReason() + "@" + cause.getField()).toList();
    }

    private static KubernetesClientException refusal(Runnable call) {
        try {
            call.run();
        } catch (KubernetesClientException error) {
            return error;
        }
        throw new AssertionError("was not rejected");
    }

    private GenericKubernetesResource create(GenericKubernetesResource object) {
        return client.resource(object).create();
    }

    private NonNamespaceOperation<GenericKubernetesResource, GenericKubernetesResourceList, Resource<GenericKubernetesResource>>
            of(String kind) {
        return client.genericKubernetesResources(API_VERSION, kind).inNamespace(run);
    }

    private NonNamespaceOperation<GenericKubernetesResource, GenericKubernetesResourceList, Resource<GenericKubernetesResource>>
            claims() {
        return of("IPClaim");
    }

    private String name(String stem) {
        names++;
        return stem + "-" + names;
    }

    private GenericKubernetesResource claim(String name) {
        return object("IPClaim", name, Map.of("poolRef", Map.of("name", run), "prefixLength", 32));
    }

    private GenericKubernetesResource object(String kind, String name, Map<String, Object> spec) {
        GenericKubernetesResource object = new GenericKubernetesResource();
        object.setApiVersion(API_VERSION);
        object.setKind(kind);
        object.setMetadata(new ObjectMetaBuilder().withName(name).build());
        if (!kind.equals("IPPool")) {
            object.getMetadata().setNamespace(run);
        }
        object.setAdditionalProperty("spec", spec);
        return object;
    }

    private static GenericKubernetesResource labelled(GenericKubernetesResource object, String name, String value) {
        object.getMetadata().setLabels(Map.of(name, value));
        return object;
    }

    private static void restart() throws Exception {
        int status = new ProcessBuilder(System.getenv("CONFORMANCE_RESTART")).inheritIO().start().waitFor();
        equal(status, 0, "exit status of the restart");
    }

    private void remove() {
        claims().delete();
        of("IPAllocation").delete();
        for (String pool : List.of(run + "-full", run + "-bounded", run)) {
            client.genericKubernetesResources(API_VERSION, "IPPool").withName(pool).delete();
        }
        client.namespaces().withName(run).delete();
    }
}
