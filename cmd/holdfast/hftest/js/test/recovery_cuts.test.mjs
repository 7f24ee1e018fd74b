// The network between pages and the server fails in every way while events are
// published: stock pusher-js with the recovery plug-in shows its application each of
// them once and in order.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stage } from '../harness/backend.mjs';
import { Press, whole } from '../harness/press.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { Reader } from '../harness/reader.mjs';

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
      await reader.joined();
      assert.notEqual(reader.tab.socketId, before);
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
    assert.equal(reader.tab.pusher.channel(channels[2]).members.count, 1);
  }));
});
