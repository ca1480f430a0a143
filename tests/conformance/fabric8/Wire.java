package conformance;

import io.fabric8.kubernetes.client.http.AsyncBody;
import io.fabric8.kubernetes.client.http.BasicBuilder;
import io.fabric8.kubernetes.client.http.HttpRequest;
import io.fabric8.kubernetes.client.http.HttpResponse;
import io.fabric8.kubernetes.client.http.Interceptor;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Counts the requested watches, and those of them whose response is not a WebSocket. */
final class Wire implements Interceptor {
    private static final int SWITCHING_PROTOCOLS = 101;
    private final AtomicInteger asked = new AtomicInteger();
    private final AtomicInteger plain = new AtomicInteger();

    @Override
    public void before(BasicBuilder builder, HttpRequest request, RequestTags tags) {
        count(request, asked);
    }

    @Override
    public void after(HttpRequest request, HttpResponse<?> response, AsyncBody.Consumer<List<ByteBuffer>> consumer) {
        if (response.code() != SWITCHING_PROTOCOLS) {
            count(request, plain);
        }
    }

    private static void count(HttpRequest request, AtomicInteger counter) {
        String query = request.uri().getQuery();
        if (query != null && query.contains("watch=true")) {
            counter.incrementAndGet();
        }
    }

    void forget() {
        asked.set(0);
        plain.set(0);
    }

    String watches() {
        return asked + " requested, " + plain + " not by WebSocket";
    }
}
