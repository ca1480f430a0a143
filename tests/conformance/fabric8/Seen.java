package conformance;

import static conformance.Harness.equal;

import io.fabric8.kubernetes.api.model.GenericKubernetesResource;
import io.fabric8.kubernetes.client.Watcher;
import io.fabric8.kubernetes.client.WatcherException;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;

/** The events of a watch. */
final class Seen implements Watcher<GenericKubernetesResource> {
    private final Queue<String> events = new ConcurrentLinkedQueue<>();

    @Override
    public void eventReceived(Action action, GenericKubernetesResource object) {
        events.add(action + " " + object.getMetadata().getName());
    }

    @Override
    public void onClose(WatcherException cause) {
        events.add("CLOSED " + cause);
    }

    /** Waits until there are as many events as wanted, and compares them. */
    void eventually(String... wanted) throws InterruptedException {
        Harness.eventually(() -> events.size() >= wanted.length, () -> "events: " + events);
        equal(List.copyOf(events), List.of(wanted), "events");
    }
}
