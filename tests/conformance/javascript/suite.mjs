// Checks of the official JavaScript client with the server of KUBECONFIG.
//
// CONFORMANCE_NET (two octets) is the address space of this run, CONFORMANCE_REFUSALS the table of rejected creates, and
// CONFORMANCE_RESTART a command that restarts the server.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

import {
    ApiException,
    CoreV1Api,
    CustomObjectsApi,
    KubeConfig,
    KubernetesObjectApi,
    PatchStrategy,
    Watch,
    makeInformer,
} from '@kubernetes/client-node';

import { check, close, equal, eventually, that } from './harness.mjs';

const GROUP = 'ipam.miloapis.com';
const VERSION = 'v1alpha1';
const NET = process.env.CONFORMANCE_NET;
const RUN = `conformance-js-${Date.now().toString(36)}`;
const CLAIMS = { group: GROUP, version: VERSION, namespace: RUN, plural: 'ipclaims' };
const CLAIMS_PATH = `/apis/${GROUP}/${VERSION}/namespaces/${RUN}/ipclaims`;
// The user of an informer must restart it after an error.
const START_AGAIN_MS = 200;

const config = new KubeConfig();
config.loadFromDefault();
const objects = KubernetesObjectApi.makeApiClient(config);
const custom = config.makeApiClient(CustomObjectsApi);
const core = config.makeApiClient(CoreV1Api);
let names = 0;

function name(stem) {
    names += 1;
    return `${stem}-${names}`;
}

function object(kind, objectName, spec, labels) {
    const metadata = { name: objectName, labels };
    if (kind !== 'IPPool') {
        metadata.namespace = RUN;
    }
    return { apiVersion: `${GROUP}/${VERSION}`, kind, metadata, spec };
}

function claim(claimName, labels) {
    return object('IPClaim', claimName, { poolRef: { name: RUN }, prefixLength: 32 }, labels);
}

// Returns the code and the Status of the error of a call.
async function refusal(call) {
    try {
        await call();
    } catch (error) {
        that(error instanceof ApiException, error.stack);
        const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
        return { code: error.code, status };
    }
    throw new Error('was not rejected');
}

function causes(status) {
    return (status.details?.causes ?? []).map((cause) => `${cause.reason}@${cause.field}`);
}

async function restart() {
    await promisify(execFile)(process.env.CONFORMANCE_RESTART);
}

await core.createNamespace({ body: { metadata: { name: RUN } } });
await objects.create(object('IPPool', RUN, { cidr: `${NET}.0.0/16` }));

await check('create, read and list', async () => {
    const made = await objects.create(claim(name('create'), { colour: 'red' }));
    equal(made.status.phase, 'Bound', 'phase in the response to the create');
    equal(await objects.read(made), made, 'the stored claim');
    const listed = await objects.list(made.apiVersion, made.kind, RUN, undefined, undefined, undefined, undefined, 'colour=red');
    equal(listed.items.map((item) => item.metadata.name), [made.metadata.name], 'the list');
    const { code, status } = await refusal(() => objects.create(claim(made.metadata.name)));
    equal([code, status.reason], [409, 'AlreadyExists'], 'a create of the same name');
});

await check('a replace of an old version is a conflict', async () => {
    const old = await objects.create(claim(name('conflict')));
    await objects.replace({ ...old, metadata: { ...old.metadata, labels: { a: '1' } } });
    const { code, status } = await refusal(() => objects.replace(old));
    equal([code, status.reason], [409, 'Conflict'], 'a replace of an old version');
});

await check('merge patch and JSON patch', async () => {
    const made = await objects.create(claim(name('patch')));
    const change = { ...claim(made.metadata.name, { a: '1' }) };
    const merged = await objects.patch(change, undefined, undefined, undefined, undefined, PatchStrategy.MergePatch);
    equal(merged.metadata.labels, { a: '1' }, 'labels after a merge patch');
    const body = [{ op: 'replace', path: '/metadata/labels/a', value: '2' }];
    const patched = await custom.patchNamespacedCustomObject({ ...CLAIMS, name: made.metadata.name, body });
    equal(patched.metadata.labels, { a: '2' }, 'labels after a JSON patch');
});

await check('server-side apply: create, again, conflict, force', async () => {
    const claimName = name('apply');
    const apply = (manager, label, force) =>
        objects.patch(claim(claimName, { a: label }), undefined, undefined, manager, force, PatchStrategy.ServerSideApply);
    const first = await apply('alice', '1');
    equal(first.status.phase, 'Bound', 'phase');
    equal((await apply('alice', '1')).metadata.resourceVersion, first.metadata.resourceVersion, 'the same apply');
    const { code, status } = await refusal(() => apply('bob', '2'));
    equal([code, causes(status)], [409, ['FieldManagerConflict@.metadata.labels.a']], 'a conflict');
    equal((await apply('bob', '2', true)).metadata.labels.a, '2', 'label after force');
});

await check('CustomObjectsApi: create, get, list, replace, status, delete', async () => {
    const claimName = name('custom');
    const made = await custom.createNamespacedCustomObject({ ...CLAIMS, body: claim(claimName, { custom: 'yes' }) });
    equal(made.status.phase, 'Bound', 'phase');
    equal(await custom.getNamespacedCustomObject({ ...CLAIMS, name: claimName }), made, 'the stored claim');
    const listed = await custom.listNamespacedCustomObject({ ...CLAIMS, labelSelector: 'custom=yes' });
    equal(listed.items.length, 1, 'the list');
    const body = { ...made, metadata: { ...made.metadata, annotations: { note: '1' } } };
    const replaced = await custom.replaceNamespacedCustomObject({ ...CLAIMS, name: claimName, body });
    equal(replaced.metadata.annotations, { note: '1' }, 'annotations');
    const status = await custom.getNamespacedCustomObjectStatus({ ...CLAIMS, name: claimName });
    equal(status.status, made.status, 'the status');
    await custom.deleteNamespacedCustomObject({ ...CLAIMS, name: claimName });
    equal((await refusal(() => objects.read(made))).code, 404, 'after the delete');
});

await check('a watch gets the events of an object in order', async () => {
    const claimName = name('watch');
    const { metadata } = await custom.listNamespacedCustomObject(CLAIMS);
    const seen = [];
    const watch = await new Watch(config).watch(
        CLAIMS_PATH,
        { resourceVersion: metadata.resourceVersion },
        (type, item) => seen.push(`${type} ${item.metadata.name}`),
        () => {},
    );
    const made = await objects.create(claim(claimName));
    await objects.replace({ ...made, metadata: { ...made.metadata, labels: { a: '1' } } });
    await objects.delete(made);
    await eventually(() => seen.length >= 3, () => `events: ${seen}`);
    watch.abort();
    equal(seen, ['ADDED', 'MODIFIED', 'DELETED'].map((type) => `${type} ${claimName}`), 'events');
});

await check('an informer goes on when the server restarts', async () => {
    const label = name('inform');
    const labelSelector = `inform=${label}`;
    const before = await objects.create(claim(`${label}-before`, { inform: label }));
    const known = new Set();
    const list = () => custom.listNamespacedCustomObject({ ...CLAIMS, labelSelector });
    const informer = makeInformer(config, CLAIMS_PATH, list, labelSelector);
    informer.on('add', (item) => known.add(item.metadata.name));
    informer.on('delete', (item) => known.delete(item.metadata.name));
    const start = () => informer.start().catch(() => setTimeout(start, START_AGAIN_MS));
    informer.on('error', () => setTimeout(start, START_AGAIN_MS));
    await start();
    const becomes = (wanted) =>
        eventually(() => known.size === 1 && known.has(wanted), () => `names: ${[...known]}`);
    await becomes(`${label}-before`);
    await restart();
    await objects.create(claim(`${label}-after`, { inform: label }));
    await objects.delete(before);
    await becomes(`${label}-after`);
    await informer.stop();
});

await check('delete, and Retain', async () => {
    const gone = await objects.create(claim(name('delete')));
    await objects.delete(gone);
    equal((await refusal(() => objects.read(gone))).code, 404, 'the deleted claim');
    const spec = { poolRef: { name: RUN }, prefixLength: 30, reclaimPolicy: 'Retain' };
    const kept = await objects.create(object('IPClaim', name('retain'), spec));
    await objects.delete(kept);
    const block = kept.status.allocatedCIDR;
    const fieldSelector = `status.allocatedCIDR=${block}`;
    const { items } = await custom.listNamespacedCustomObject({ ...CLAIMS, plural: 'ipallocations', fieldSelector });
    equal(items.length, 1, `allocations of ${block}`);
    equal([items[0].status.phase, items[0].spec.claimRef], ['Retained', undefined], 'the allocation');
    await objects.delete(items[0]);
    const next = await objects.create(object('IPClaim', name('next'), { poolRef: { name: RUN }, address: block }));
    equal(next.status.allocatedCIDR, block, 'block of the next claim');
});

const text = readFileSync(process.env.CONFORMANCE_REFUSALS, 'utf8');
const table = JSON.parse(text.replaceAll('$NET', NET).replaceAll('$RUN', RUN).replaceAll('$NS', RUN));
await check('objects for the rejected creates', async () => {
    for (const needed of table.before) {
        await objects.create(needed);
    }
    for (const claimName of table.deleted) {
        await objects.delete(claim(claimName));
    }
});
for (const wanted of table.refusals) {
    await check(`rejected: ${wanted.what}`, async () => {
        const { code, status } = await refusal(() => objects.create(wanted.object));
        equal([code, status.code, status.reason], [wanted.code, wanted.code, wanted.reason], status.message);
        for (const part of wanted.says) {
            that(status.message.includes(part), `the message lacks ${part}: ${status.message}`);
        }
        const found = causes(status);
        that(wanted.causes.every((cause) => found.includes(cause)), `causes: ${found}, not ${wanted.causes}`);
    });
}

await custom.deleteCollectionNamespacedCustomObject(CLAIMS);
await custom.deleteCollectionNamespacedCustomObject({ ...CLAIMS, plural: 'ipallocations' });
for (const pool of [`${RUN}-full`, `${RUN}-bounded`, RUN]) {
    await objects.delete(object('IPPool', pool));
}
await core.deleteNamespace({ name: RUN });
const { version } = createRequire(import.meta.url)('@kubernetes/client-node/package.json');
close(`javascript ${version}`);
