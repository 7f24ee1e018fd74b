// Every build of pusher-js that runs without a browser, and Laravel Echo.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, describe, it } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { WebSocket } from 'ws';
import { Fake } from '../harness/fake.mjs';
import { authorize, Page } from '../harness/page.mjs';

const require = createRequire(import.meta.url);

// The builds for workers and for pages find what they need of their world as globals.
const world = {
  WebSocket,
  self: globalThis,
  window: globalThis,
  document: { createElement: () => ({}), getElementsByTagName: () => [{}], location: { protocol: 'http:' }, body: {} },
  localStorage: undefined,
  addEventListener() {},
  removeEventListener() {},
};

describe('the build', () => {
  before(() => {
    for (const [name, value] of Object.entries(world)) {
      if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
  });

  const files = [
    'dist/node/pusher.js',
    'dist/worker/pusher.worker.js',
    'dist/worker/pusher.worker.min.js',
    'dist/worker/pusher-with-encryption.worker.min.js',
    'dist/web/pusher.js',
    'dist/web/pusher.min.js',
    'dist/web/pusher-with-encryption.min.js',
  ];
  for (const file of files) {
    it(`${file} recovers`, async (t) => {
      const loaded = require(`pusher-js/${file}`);
      const Client = loaded.default ?? loaded.Pusher ?? loaded;
      assert.equal(Client.VERSION ?? '8.6.0', '8.6.0');
      const fake = await Fake.start(t);
      const page = Page.open(t, fake, { Client });
      await page.join('news');
      await page.join('private-a');
      await fake.hears('news');
      fake.publish('news', 'tick', { n: 1 });
      await page.settled('news');
      fake.drop();
      fake.publish('news', 'tick', { n: 2 });
      fake.restart('private-a');
      await page.joined('news');
      await page.joined('private-a');
      await page.settled('news');
      assert.equal((await fake.hears('news')).recover.seq, 1);
      assert.deepEqual(page.heard('tick', 'news'), [{ n: 1 }, { n: 2 }]);
      assert.deepEqual(page.lost(), [['private-a', 'epoch']]);
      page.pusher.unsubscribe('news');
      assert.equal(page.recovery.position('news'), null);
    });
  }
});

describe('Laravel Echo', () => {
  it('recovers what its channels listen for', async (t) => {
    const fake = await Fake.start(t);
    const page = new Page();
    const echo = new Echo({
      broadcaster: 'reverb',
      Pusher,
      key: 'app-key',
      wsHost: '127.0.0.1',
      wsPort: fake.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      channelAuthorization: { customHandler: authorize },
    });
    Object.assign(page, { server: fake, pusher: echo.connector.pusher });
    page.recover({});
    t.after(() => echo.disconnect());
    t.after(() => page.recovery.stop());

    const shipped = [];
    const here = [];
    echo.private('orders').listen('OrderShipped', ({ id }) => shipped.push(id));
    echo.join('room').here((members) => here.push(members.length)).listen('.said', ({ id }) => shipped.push(`said ${id}`));
    await fake.hears('private-orders');
    await fake.hears('presence-room');
    fake.publish('private-orders', 'App\\Events\\OrderShipped', { id: 1 });
    page.subscribe('news');
    await page.joined('news');

    fake.drop();
    fake.publish('private-orders', 'App\\Events\\OrderShipped', { id: 2 });
    fake.publish('presence-room', 'said', { id: 3 });
    await page.joined('news');
    assert.deepEqual(shipped, [1, 2, 'said 3']);
    assert.deepEqual(here, [1, 1]);
    assert.deepEqual(page.lost(), []);

    echo.leave('orders');
    assert.equal(page.recovery.position('private-orders'), null);
  });
});
