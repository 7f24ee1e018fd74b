// What cannot be had is said, once, with its reason, and live events go on; a page that
// is loaded anew goes on where the last one stood.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backend, stage } from '../harness/backend.mjs';
import { Press, whole } from '../harness/press.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { Reader, Storage } from '../harness/reader.mjs';
import { APP, Server } from '../harness/server.mjs';

const CONFIG = `
[limits]
recover_events = 20
[[history]]
match = "short-*"
events = 5
[[history]]
match = "off-*"
events = 0
[[history]]
match = "private-sealed-*"
replay = false
[[history]]
match = "*"
`;

// away keeps a page off while something happens, and waits until it is back.
async function away(reader, proxy, happens) {
  proxy.hold();
  proxy.cut('fin');
  await happens();
  proxy.release();
  await reader.joined();
}

describe('a page with recovery is told', { concurrency: true }, () => {
  const edge = stage(APP, { config: CONFIG });

  const open = async (t, channel, options) => {
    const proxy = await Proxy.start(t, edge.server);
    const press = new Press(edge.backend, [channel]);
    const reader = Reader.open(t, proxy, { channels: [channel], backend: edge.backend, user: 'ann', ...options });
    await reader.joined();
    return { proxy, press, reader, ledger: reader.ledger(channel) };
  };

  const losses = [
    ['expired', 'short-a', 6],
    ['too_many', 'news', 21],
    ['off', 'off-a', 1],
    ['off', 'private-sealed-a', 1],
  ];
  for (const [reason, channel, missed] of losses) {
    it(`${reason}, of ${missed} on ${channel}`, async (t) => {
      const { proxy, press, reader, ledger } = await open(t, channel);
      await press.publish(channel, 2);
      await ledger.reaches(2);
      await away(reader, proxy, () => press.publish(channel, missed));
      await press.publish(channel, 2);
      await reader.reaches(press);
      assert.deepEqual(ledger.gaps(), [reason]);
      assert.deepEqual(ledger.verdict(1, missed + 4), { ...whole(4), told: missed });
    });
  }

  for (const [channel, missed] of [['short-b', 5], ['news-b', 20]]) {
    it(`nothing when ${missed} on ${channel} can just be had`, async (t) => {
      const { proxy, press, reader, ledger } = await open(t, channel);
      await press.publish(channel, 2);
      await ledger.reaches(2);
      await away(reader, proxy, () => press.publish(channel, missed));
      await press.publish(channel);
      await reader.reaches(press);
      assert.deepEqual(ledger.verdict(1, missed + 3), whole(missed + 3));
    });
  }

  it('nothing of what it caused itself, then or now', async (t) => {
    const { proxy, press, reader, ledger } = await open(t, 'news-c');
    const socket_id = reader.tab.socketId;
    await press.publish('news-c', 1, { socket_id });
    await press.publish('news-c');
    await ledger.reaches(2);
    await away(reader, proxy, async () => {
      await press.publish('news-c', 1, { socket_id });
      await press.publish('news-c');
    });
    await press.publish('news-c');
    await reader.reaches(press);
    assert.deepEqual(ledger.numbers(), [2, 4, 5]);
    assert.deepEqual(ledger.gaps(), []);
    assert.equal(reader.position('news-c').seq, 5);
  });

  it('nothing when a page follows another in the same tab', async (t) => {
    const channels = ['news-d', 'private-d', 'presence-d'];
    const storage = new Storage();
    const press = new Press(edge.backend, channels);
    const page = () => Reader.open(t, edge.server, { backend: edge.backend, user: 'ann', channels, storage });
    const pages = [page()];
    await pages[0].joined();
    press.start();
    const goesOn = async () => {
      for (const channel of channels) await pages.at(-1).ledger(channel).reaches(press.last.get(channel) + 2);
    };
    for (let i = 0; i < 4; i++) {
      await goesOn();
      pages.at(-1).close(); // in the middle of the stream
      pages.push(page());
    }
    await goesOn();
    await press.stop();
    await pages.at(-1).reaches(press);
    for (const channel of channels) {
      const all = pages[0].ledger(channel);
      for (const later of pages.slice(1)) all.entries.push(...later.ledger(channel).entries);
      assert.deepEqual(all.verdict(1, press.last.get(channel)), whole(press.last.get(channel)), channel);
    }
  });
});

describe('a server that lost its log', { concurrency: true }, () => {
  const open = async (t) => {
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const proxy = await Proxy.start(t, server);
    const channels = ['news', 'private-a'];
    const reader = Reader.open(t, proxy, { channels, backend, user: 'ann' });
    await reader.joined();
    const press = new Press(backend, channels);
    const publish = async (times) => {
      for (const channel of channels) await press.publish(channel, times);
    };
    return { server, proxy, channels, reader, press, publish };
  };

  it('says epoch when its data directory is gone', async (t) => {
    const { server, proxy, channels, reader, press, publish } = await open(t);
    await publish(3);
    await reader.reaches(press);
    await away(reader, proxy, async () => {
      await publish(2);
      await server.terminate();
      await server.erase();
      await server.run();
    });
    await publish(2);
    await reader.reaches(press);
    for (const channel of channels) {
      assert.deepEqual(reader.ledger(channel).gaps(), ['epoch']);
      assert.deepEqual(reader.ledger(channel).verdict(1, 7), { ...whole(5), told: 2 });
    }
  });

  it('says ahead when an old copy of it was put in its place', async (t) => {
    const { server, proxy, channels, reader, press, publish } = await open(t);
    await publish(2);
    let restore;
    await away(reader, proxy, async () => {
      await server.terminate();
      restore = await server.backup();
      await server.run();
    });
    await publish(3);
    await reader.reaches(press);
    await away(reader, proxy, async () => {
      await server.terminate();
      await restore();
      await server.run();
    });
    await publish(1);
    await reader.reaches(press);
    for (const channel of channels) {
      assert.deepEqual(reader.ledger(channel).gaps(), ['ahead']);
      assert.deepEqual(reader.ledger(channel).verdict(1, 6), whole(6));
    }
  });
});
