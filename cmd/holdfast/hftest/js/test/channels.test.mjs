import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stage } from '../harness/backend.mjs';
import { COUNTED } from '../harness/server.mjs';
import { Tab } from '../harness/tab.mjs';

describe('channels', () => {
  const edge = stage();

  const open = async (t, name, options = {}) => {
    const tab = Tab.open(t, edge.server, { name, backend: edge.backend, user: name, ...options });
    await tab.online();
    return tab;
  };

  it('public: every subscriber gets every event, in order', async (t) => {
    const tabs = await Promise.all(['a', 'b', 'c'].map((name) => open(t, name)));
    const rooms = await Promise.all(tabs.map((tab) => tab.join('news')));
    for (let n = 1; n <= 50; n++) {
      await edge.backend.sdk.trigger('news', 'item', { n });
    }
    for (const room of rooms) {
      for (let n = 1; n <= 50; n++) {
        assert.deepEqual((await room.next('item')).data, { n });
      }
      assert.equal(room.all('item').length, 50);
    }
  });

  it('public: nothing arrives from another channel', async (t) => {
    const tab = await open(t, 'a');
    const room = await tab.join('weather');
    await edge.backend.sdk.trigger('sports', 'goal', {});
    const id = await edge.backend.mark('weather');
    await room.next('mark', (data) => data.id === id);
    tab.frames.none('goal');
  });

  it('relays data as it was published', async (t) => {
    const tab = await open(t, 'a');
    const room = await tab.join('verbatim');
    for (const [sent, received] of [
      ['plain text', 'plain text'],
      ['123', 123], // pusher-js parses what parses
      ['{"deep":{"list":[1,2,{"x":null}]}}', { deep: { list: [1, 2, { x: null }] } }],
      ['äöü 你好 \u{1f600} \u0000 \\ " \u2028', 'äöü 你好 \u{1f600} \u0000 \\ " \u2028'],
      ['{"html":"<a href=\'x\'>&amp;</a>"}', { html: "<a href='x'>&amp;</a>" }],
    ]) {
      await edge.backend.sdk.trigger('verbatim', 'thing', sent);
      assert.deepEqual((await room.next('thing')).data, received);
    }
    const name = 'App\\Events\\OrderShipped';
    await edge.backend.sdk.trigger('verbatim', name, { id: 1 });
    assert.deepEqual((await room.next(name)).data, { id: 1 });
  });

  it('private: the endpoint authorizes, the server verifies', async (t) => {
    const tab = await open(t, 'ann');
    const room = await tab.join('private-orders.1');
    assert.ok(edge.backend.requests.some((r) => r.channel === 'private-orders.1' && r.user === 'ann'));
    await edge.backend.sdk.trigger('private-orders.1', 'shipped', { id: 7 });
    assert.deepEqual((await room.next('shipped')).data, { id: 7 });
  });

  it('private: an endpoint that denies is the end of it', async (t) => {
    const tab = await open(t, 'ann');
    const room = tab.subscribe('private-forbidden');
    const { data } = await room.next('pusher:subscription_error');
    assert.equal(data.status, 403);
    await tab.settled();
    tab.frames.none('pusher_internal:subscription_succeeded', (_, r) => r.channel === 'private-forbidden');
  });

  it('private: a forged signature is refused and the connection stays', async (t) => {
    const tab = await open(t, 'ann');
    const room = tab.subscribe('private-forged');
    const { data } = await room.next('pusher:subscription_error');
    assert.equal(data.type, 'AuthError');
    assert.equal(data.status, 401);
    assert.ok(data.error.length > 0);
    await edge.backend.sdk.trigger('private-forged', 'secret', {});
    await tab.settled();
    tab.frames.none('secret');
    assert.equal(tab.pusher.connection.state, 'connected');
  });

  it('private: a signature of another connection does not fit', async (t) => {
    const [mine, theirs] = [await open(t, 'ann'), await open(t, 'eve')];
    const { auth } = edge.backend.sdk.authorizeChannel(mine.socketId, 'private-mine');
    theirs.pusher.send_event('pusher:subscribe', { channel: 'private-mine', auth });
    const { data } = await theirs.frames.next('pusher:subscription_error', (_, r) => r.channel === 'private-mine');
    assert.equal(data.status, 401);
  });

  it('encrypted: the page reads what the server cannot', async (t) => {
    const tab = await open(t, 'ann');
    const room = await tab.join('private-encrypted-vault');
    await edge.backend.sdk.trigger('private-encrypted-vault', 'secret', { pin: 1234 });
    assert.deepEqual((await room.next('secret')).data, { pin: 1234 });
    const [frame] = tab.frames.all('secret');
    assert.deepEqual(Object.keys(frame.data).sort(), ['ciphertext', 'nonce']);
  });

  it('cache: a miss first, then the last event for whoever comes later', async (t) => {
    const first = await open(t, 'a');
    const missed = await first.join('cache-price');
    await missed.next('pusher:cache_miss');
    await edge.backend.sdk.trigger('cache-price', 'tick', { p: 1 });
    await edge.backend.sdk.trigger('cache-price', 'tick', { p: 2 });
    await missed.next('tick', (data) => data.p === 2);

    const late = await open(t, 'b');
    const room = await late.join('cache-price');
    assert.deepEqual((await room.next('tick')).data, { p: 2 });
    const id = await edge.backend.mark('cache-price');
    await room.next('mark', (data) => data.id === id);
    room.none('pusher:cache_miss');
    assert.equal(room.all('tick').length, 1);
  });

  it('cache: private and encrypted kinds keep their last event too', async (t) => {
    for (const channel of ['private-cache-price', 'private-encrypted-cache-price']) {
      const first = await open(t, 'a');
      await (await first.join(channel)).next('pusher:cache_miss');
      await edge.backend.sdk.trigger(channel, 'tick', { p: 3 });
      const late = await open(t, 'b');
      assert.deepEqual((await (await late.join(channel)).next('tick')).data, { p: 3 }, channel);
    }
  });

  it('unsubscribe: nothing more arrives, and coming back works', async (t) => {
    const tab = await open(t, 'a');
    const witness = await open(t, 'b');
    await tab.join('comings');
    const seen = await witness.join('comings');
    tab.pusher.unsubscribe('comings');
    await tab.settled();
    await edge.backend.sdk.trigger('comings', 'while-away', {});
    await seen.next('while-away');
    await tab.settled();
    tab.frames.none('while-away');

    const again = await tab.join('comings');
    await edge.backend.sdk.trigger('comings', 'back', { n: 2 });
    assert.deepEqual((await again.next('back')).data, { n: 2 });
    tab.frames.none('while-away');
  });

  it('refuses names that the protocol does not know', async (t) => {
    const tab = await open(t, 'a');
    for (const channel of ['with space', 'a/b', 'ä', '#own', 'x'.repeat(201)]) {
      tab.pusher.send_event('pusher:subscribe', { channel, auth: '' });
      const { data } = await tab.frames.next('pusher:subscription_error');
      assert.equal(data.status, 400, channel);
    }
    await tab.join('x'.repeat(200));
    await tab.join('A-z_0=@,.;');
  });
});

describe('subscription counts', () => {
  const edge = stage(COUNTED);

  it('tell each subscriber how many there are', async (t) => {
    const first = Tab.open(t, edge.server, { name: 'first', app: COUNTED });
    await first.online();
    const room = await first.join('counted');
    const count = (n) => (data) => data.subscription_count === n;
    await room.next('pusher:subscription_count', count(1));

    const second = Tab.open(t, edge.server, { name: 'second', app: COUNTED });
    await second.online();
    await (await second.join('counted')).next('pusher:subscription_count', count(2));
    await room.next('pusher:subscription_count', count(2));

    second.pusher.unsubscribe('counted');
    await room.next('pusher:subscription_count', count(1));

    const third = Tab.open(t, edge.server, { name: 'third', app: COUNTED });
    await third.online();
    await third.join('counted');
    await room.next('pusher:subscription_count', count(2));
    third.pusher.disconnect();
    await room.next('pusher:subscription_count', count(1));
  });
});
