// The network between pages and the server fails in every way while events are
// published: stock pusher-js with the recovery plug-in shows its application each of
// them once and in order.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stage } from '../harness/backend.mjs';
import { Press, whole } from '../harness/press.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { Reader } from '../harness/reader.mjs';
import { APP } from '../harness/server.mjs';

// So that a dead line is noticed in a second and not in two minutes.
const ALERT = { activityTimeout: 400, pongTimeout: 400 };

const CUTS = {
  'a reset': (proxy) => proxy.cut('rst'),
  'a close': (proxy) => proxy.cut('fin'),
  'silence': (proxy) => proxy.cut('silence'),
  'a reset in the middle of a frame': (proxy) => proxy.tear(777),
};

describe('a page with recovery that is lost by', { concurrency: true }, () => {
  const edge = stage();

  Object.entries(CUTS).forEach(([what, cut], i) => it(`${what} misses nothing`, async (t) => {
    const channels = [`news-${i}`, `private-a-${i}`, `presence-a-${i}`, `private-encrypted-a-${i}`, `cache-a-${i}`];
    const proxy = await Proxy.start(t, edge.server);
    const press = new Press(edge.backend, channels);
    const reader = Reader.open(t, proxy, { name: what, backend: edge.backend, user: 'ann', channels, ...ALERT });
    await reader.joined();
    const epochs = channels.map((channel) => reader.position(channel).epoch);

    press.start();
    for (let round = 0; round < 3; round++) {
      for (const channel of channels) await reader.ledger(channel).reaches(press.last.get(channel) + 5);
      const before = reader.tab.socketId;
      cut(proxy);
      await reader.returns(before);
    }
    await press.stop();
    await reader.reaches(press);

    for (const channel of channels) {
      const last = press.last.get(channel);
      assert.deepEqual(reader.ledger(channel).verdict(1, last), whole(last), channel);
      assert.equal(reader.position(channel).seq, last, channel);
    }
    assert.deepEqual(channels.map((channel) => reader.position(channel).epoch), epochs);
    assert.equal(press.retries, 0);
    assert.equal(reader.holes, 0);
    assert.equal(reader.tab.pusher.channel(channels[2]).members.count, 1);
  }));
});

describe('a page without recovery', () => {
  const edge = stage();

  it('misses events, and the ledger sees it: the control of these tests', async (t) => {
    const proxy = await Proxy.start(t, edge.server);
    const press = new Press(edge.backend, ['news']);
    const reader = Reader.open(t, proxy, { channels: ['news'], stock: true });
    await reader.joined();
    await press.publish('news', 2);
    await reader.reaches(press);
    proxy.hold();
    proxy.cut('rst');
    await press.publish('news', 3);
    proxy.release();
    await reader.joined();
    await press.publish('news', 2);
    await reader.reaches(press);
    assert.deepEqual(reader.ledger('news').verdict(1, 7), { ...whole(4), silent: 3 });
  });
});

describe('a page that does not read for a while', () => {
  const edge = stage(APP, { config: '[[history]]\nmatch = "off-*"\nevents = 0\n[[history]]\nmatch = "*"\nevents = 4000\nbytes = "64MiB"\n' });
  const FLOOD = 2500; // events of 8 KiB: more than all sockets on the way hold

  it('catches up from the log, on the same connection', async (t) => {
    const proxy = await Proxy.start(t, edge.server);
    const press = new Press(edge.backend, ['news']);
    const reader = Reader.open(t, proxy, { channels: ['news'] });
    await reader.joined();
    const before = reader.tab.socketId;
    proxy.stall();
    await press.flood('news', FLOOD, 8192);
    proxy.goOn();
    await press.publish('news');
    await reader.reaches(press);
    assert.deepEqual(reader.ledger('news').verdict(1, FLOOD + 1), whole(FLOOD + 1));
    assert.equal(reader.tab.socketId, before);
    assert.equal(reader.holes, 0);
    const metrics = await (await fetch(`http://127.0.0.1:${edge.server.adminPort}/metrics`)).text();
    assert.match(metrics, /^holdfast_slow_consumers_caught_up_total [1-9]/m, 'it was behind');
  });

  it('is closed with 4100 where there is no history, and told off', async (t) => {
    const proxy = await Proxy.start(t, edge.server);
    const press = new Press(edge.backend, ['off-news']);
    const reader = Reader.open(t, proxy, { channels: ['off-news'] });
    await reader.joined();
    const before = reader.tab.socketId;
    proxy.stall();
    await press.flood('off-news', FLOOD, 8192);
    proxy.goOn();
    await reader.tab.errors.next(4100);
    await reader.returns(before);
    await press.publish('off-news');
    await reader.reaches(press);
    const { delivered, told, ...faults } = reader.ledger('off-news').verdict(1, FLOOD + 1);
    assert.deepEqual(faults, { duplicate: 0, disorder: 0, corrupt: 0, silent: 0 });
    assert.equal(delivered + told, FLOOD + 1);
    assert.deepEqual(reader.ledger('off-news').gaps(), ['off']);
  });
});
