package conformance;

import io.fabric8.kubernetes.api.model.GenericKubernetesResource;
import io.fabric8.kubernetes.client.informers.ResourceEventHandler;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** The names of the objects of an informer. */
final class Names implements ResourceEventHandler<GenericKubernetesResource> {
    private final Set<String> known = ConcurrentHashMap.newKeySet();

    @Override
    public void onAdd(GenericKubernetesResource object) {
        known.add(object.getMetadata().getName());
    }

    @Override
    public void onUpdate(GenericKubernetesResource old, GenericKubernetesResource object) {}

    @Override
    public void onDelete(GenericKubernetesResource object, boolean deletedFinalStateUnknown) {
        known.remove(object.getMetadata().getName());
    }

    /** Waits until the names are exactly these. */
    void eventually(Set<String> wanted) throws InterruptedException {
        Harness.eventually(() -> known.equals(wanted), () -> "names: " + known);
    }
}
