// The server itself ends and comes back while events are published: nothing that it
// took is lost, epochs stay, and a publish that is repeated is published once.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { Backend } from '../harness/backend.mjs';
import { Press, whole } from '../harness/press.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { Reader } from '../harness/reader.mjs';
import { APP, Server } from '../harness/server.mjs';
import { Tab } from '../harness/tab.mjs';

const CONFIG = `
[[history]]
match = "*bank*"
durable = true
[[history]]
match = "*"
`;
const ENDS = ['terminate', 'kill', 'terminate', 'kill', 'kill'];

async function open(t) {
  const server = await Server.start(t, { config: CONFIG });
  return { server, backend: await Backend.start(t, server), proxy: await Proxy.start(t, server) };
}

// perfect holds that a reader was told every event of every channel.
function perfect(reader, press) {
  for (const [channel, last] of press.last) {
    assert.deepEqual(reader.ledger(channel).verdict(1, last), whole(last), `${reader.name}, ${channel}`);
  }
  assert.equal(reader.holes, 0);
}

describe('a page with recovery', () => {
  it('misses nothing when the server is stopped, killed and started again, here or away', async (t) => {
    const { server, backend, proxy } = await open(t);
    const channels = ['news', 'private-a', 'presence-a', 'cache-a', 'bank', 'private-bank'];
    const away = await Proxy.start(t, server);
    const press = new Press(backend, channels);
    const here = Reader.open(t, proxy, { name: 'here', backend, user: 'ann', channels });
    const gone = Reader.open(t, away, { name: 'away', backend, user: 'bob', channels });
    await here.joined();
    await gone.joined();
    const epochs = channels.map((channel) => here.position(channel).epoch);

    press.start();
    for (const end of ENDS) {
      for (const channel of channels) await here.ledger(channel).reaches(press.last.get(channel) + 3);
      away.hold();
      away.cut('rst');
      const exit = await server[end]();
      if (end === 'terminate') assert.deepEqual([exit.code, exit.signal], [0, null], server.log);
      await server.run();
      await here.joined();
      for (const channel of channels) await here.ledger(channel).reaches(press.last.get(channel) + 3);
      away.release();
      await gone.joined();
    }
    await press.stop();

    for (const reader of [here, gone]) {
      await reader.reaches(press);
      perfect(reader, press);
      assert.deepEqual(channels.map((channel) => reader.position(channel).epoch), epochs, reader.name);
    }
    await here.counts('presence-a', 2);
  });

  it('of Laravel Echo misses nothing either', async (t) => {
    const { server, backend, proxy } = await open(t);
    const reader = new Reader();
    reader.name = 'echo';
    reader.tab = new Tab('echo');
    const echo = new Echo({
      broadcaster: 'reverb',
      Pusher,
      key: APP.key,
      wsHost: '127.0.0.1',
      wsPort: proxy.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      authEndpoint: `${backend.url}/broadcasting/auth`,
      auth: { headers: { 'X-User': 'ann' } },
    });
    t.after(() => echo.disconnect());
    reader.tab.watch(echo.connector.pusher);
    reader.install(echo.connector.pusher);
    echo.channel('orders').listen('.tick', (data) => reader.ledger('orders').event(data));
    echo.private('orders.1').listen('.tick', (data) => reader.ledger('private-orders.1').event(data));
    echo.join('room').listen('.tick', (data) => reader.ledger('presence-room').event(data));
    const channels = ['orders', 'private-orders.1', 'presence-room'];
    await reader.joined(channels);

    const press = new Press(backend, channels);
    press.start();
    const lost = [() => proxy.cut('rst'), async () => {
      await server.kill();
      await server.run();
    }];
    for (const lose of lost) {
      for (const channel of channels) await reader.ledger(channel).reaches(press.last.get(channel) + 5);
      await lose();
      await reader.joined(channels);
    }
    await press.stop();
    await reader.reaches(press);
    perfect(reader, press);
  });
});
