// docs/recovery.md as printed.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stage } from '../harness/backend.mjs';
import { Program, block, here } from '../harness/docs.mjs';
import { Press, Ledger, whole } from '../harness/press.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { APP } from '../harness/server.mjs';

const DOC = 'docs/recovery.md';

describe('docs/recovery.md', { concurrency: true }, () => {
  const edge = stage();

  it('its commands publish durably, once, and read the history', async (t) => {
    const publish = block(DOC, 'sh', 'bin/holdfast publish').replace('bin/holdfast publish', `"$HFTEST_BIN" publish --url ${edge.server.url}`);
    for (let i = 0; i < 2; i++) assert.equal((await Program.shell(t, publish).exited()).code, 0);
    const signed = here(block(DOC, 'sh', 'signed()'), edge.server);
    const { stdout } = await Program.shell(t, signed).exited();
    const [published, history] = stdout.replace('}{"channel"', '}\n{"channel"').split('\n').map((text) => JSON.parse(text));
    const { position } = published.channels.orders;
    assert.equal(position.seq, 2, 'the command was run twice with one key');
    assert.deepEqual(history.position, position);
    assert.deepEqual(history.events.map(({ seq, name }) => [seq, name]), [[1, 'shipped'], [2, 'shipped']]);
  });

  it('its session id is one that can be signed for', async (t) => {
    const [ask, stream] = here(block(DOC, 'sh', '/session'), edge.server).trim().split('\n');
    const { socket_id } = JSON.parse((await Program.shell(t, ask).exited()).stdout);
    const { auth } = edge.backend.authorize(socket_id, 'private-a');
    const [key, signature] = auth.split(':');
    assert.equal(key, APP.key);
    const curl = Program.shell(t, stream.replace('<signature>', signature).replace('<socket_id>', socket_id));
    await curl.prints('subscription_succeeded');
  });

  it('its poll loop misses nothing', async (t) => {
    const poll = new Function('fetch', `${block(DOC, 'js', 'async function poll')}\nreturn poll;`);
    const proxy = await Proxy.start(t, edge.server);
    const press = new Press(edge.backend, ['polled']);
    const ledger = new Ledger('poll of the documentation', 'polled');
    const ended = new AbortController();
    let asked = 0;
    const run = poll((url) => (asked++, ended.signal.aborted ? new Promise(() => {}) : fetch(url, { signal: ended.signal })));
    t.after(() => ended.abort());
    run(`${proxy.url}/app/${APP.key}/poll?channel=polled`, (channel, event, data) => ledger.event(data), (channel, reason) => ledger.gap(reason));
    while (asked < 2) await new Promise((resolve) => setTimeout(resolve, 10)); // it knows where it stands
    press.start();
    await ledger.reaches(20);
    proxy.cut('rst');
    await ledger.reaches(press.last.get('polled') + 20);
    await press.stop();
    await ledger.reaches(press.last.get('polled'));
    assert.deepEqual(ledger.verdict(1, press.last.get('polled')), whole(press.last.get('polled')));
  });
});
