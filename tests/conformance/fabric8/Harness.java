package conformance;

import java.time.Duration;
import java.time.Instant;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/** Counts checks and prints their TAP lines. */
final class Harness {
    /** The timeout of an expected state or event; longer than a client waits before it reconnects. */
    static final Duration SOON = Duration.ofSeconds(30);
    /** The timeout of a check. */
    private static final Duration CHECK_MAX = Duration.ofSeconds(90);
    private static final long POLL_MILLIS = 20;

    /** The body of a check. */
    interface Check {
        void run() throws Exception;
    }

    private final Instant began = Instant.now();
    private int passed;
    private int failed;

    /** Runs one check. */
    void check(String name, Check check) {
        int number = passed + failed + 1;
        try {
            bounded(check);
            passed++;
            System.out.printf("ok %d - %s%n", number, name);
        } catch (Exception | AssertionError fault) {
            failed++;
            System.out.printf("not ok %d - %s%n#   %s%n", number, name, fault.toString().replace("\n", "\n#   "));
            fault.printStackTrace();
        }
    }

    private static void bounded(Check check) throws Exception {
        FutureTask<Void> task = new FutureTask<>(() -> {
            check.run();
            return null;
        });
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
        try {
            task.get(CHECK_MAX.toSeconds(), TimeUnit.SECONDS);
        } catch (TimeoutException late) {
            throw new AssertionError("did not end within " + CHECK_MAX.toSeconds() + " s", late);
        } catch (ExecutionException fault) {
            if (fault.getCause() instanceof Exception cause) {
                throw cause;
            }
            throw new AssertionError(fault.getCause().getMessage(), fault.getCause());
        }
    }

    /** Prints the summary, and returns the exit status. */
    int close(String name) {
        long seconds = Duration.between(began, Instant.now()).toSeconds();
        System.out.printf("# %s: %d passed, %d failed, 0 skipped (%d s)%n", name, passed, failed, seconds);
        return failed == 0 ? 0 : 1;
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object got, Object wanted, String what) {
        that(Objects.equals(got, wanted), what + "\ngot:    " + got + "\nwanted: " + wanted);
    }

    /** Waits until the condition holds; the text describes the current state. */
    static void eventually(Supplier<Boolean> holds, Supplier<String> what) throws InterruptedException {
        Instant deadline = Instant.now().plus(SOON);
        while (!holds.get()) {
            that(Instant.now().isBefore(deadline), "not within " + SOON.toSeconds() + " s: " + what.get());
            Thread.sleep(POLL_MILLIS);
        }
    }
}
