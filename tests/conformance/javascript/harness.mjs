// Counts checks and prints their TAP lines.

import { isDeepStrictEqual, inspect } from 'node:util';

// The timeout of an expected state or event.
const SOON_MS = 30_000;
// The timeout of a check.
const CHECK_MAX_MS = 90_000;
const POLL_MS = 20;

const began = Date.now();
let passed = 0;
let failed = 0;

export async function check(name, run) {
    const number = passed + failed + 1;
    try {
        await Promise.race([run(), deadline()]);
        passed += 1;
        console.log(`ok ${number} - ${name}`);
    } catch (fault) {
        failed += 1;
        console.log(`not ok ${number} - ${name}`);
        console.log(`#   ${String(fault.stack ?? fault).replaceAll('\n', '\n#   ')}`);
    }
}

function deadline() {
    const late = () => new Error(`did not end within ${CHECK_MAX_MS} ms`);
    return new Promise((_, reject) => {
        setTimeout(() => reject(late()), CHECK_MAX_MS).unref();
    });
}

// Prints the summary, and exits with 1 if a check failed.
export function close(name) {
    const seconds = Math.trunc((Date.now() - began) / 1000);
    console.log(`# ${name}: ${passed} passed, ${failed} failed, 0 skipped (${seconds} s)`);
    process.exit(failed === 0 ? 0 : 1);
}

export function that(holds, what) {
    if (!holds) {
        throw new Error(what);
    }
}

export function equal(got, wanted, what) {
    that(isDeepStrictEqual(got, wanted), `${what}\ngot:    ${inspect(got)}\nwanted: ${inspect(wanted)}`);
}

// Waits until the condition holds; `what` describes the current state.
export async function eventually(holds, what) {
    const deadline = Date.now() + SOON_MS;
    while (!holds()) {
        that(Date.now() < deadline, `not within ${SOON_MS} ms: ${what()}`);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
}
