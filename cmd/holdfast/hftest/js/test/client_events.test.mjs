import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backend, stage } from '../harness/backend.mjs';
import { QUIET } from '../harness/server.mjs';
import { Tab } from '../harness/tab.mjs';

describe('client events', () => {
  const edge = stage();

  const open = async (t, user, options = {}) => {
    const tab = Tab.open(t, edge.server, { name: user, backend: edge.backend, user, ...options });
    await tab.online();
    return tab;
  };

  const settle = async (room) => {
    const id = await edge.backend.mark(room.channel.name);
    await room.next('mark', (data) => data.id === id);
  };

  it('go both ways on a private channel, never back to the sender', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    const [hers, his] = [await ann.join('private-chat'), await bob.join('private-chat')];

    hers.channel.trigger('client-typing', { x: 1, text: 'ä "quoted"' });
    assert.deepEqual((await his.next('client-typing')).data, { x: 1, text: 'ä "quoted"' });
    his.channel.trigger('client-typing', { y: 2 });
    assert.deepEqual((await hers.next('client-typing')).data, { y: 2 });

    await settle(hers);
    await settle(his);
    hers.none('client-typing', (data) => 'x' in data);
    his.none('client-typing', (data) => 'y' in data);
    // On a private channel nobody is named.
    assert.equal(bob.frames.all('client-typing')[0].user_id, undefined);
  });

  it('carry the sender on a presence channel, whatever the page claims', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    await ann.join('presence-chat');
    const his = await bob.join('presence-chat');
    ann.pusher.connection.connection.transport.send(
      JSON.stringify({ event: 'client-hello', channel: 'presence-chat', data: { n: 1 }, user_id: 'admin' }),
    );
    assert.deepEqual((await his.next('client-hello')).data, { n: 1 });
    assert.equal(bob.frames.all('client-hello')[0].user_id, 'ann');
  });

  it('arrive in the order they were sent', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    const [hers, his] = [await ann.join('private-order'), await bob.join('private-order')];
    for (let n = 0; n < 8; n++) {
      hers.channel.trigger('client-n', { n });
    }
    for (let n = 0; n < 8; n++) {
      assert.deepEqual((await his.next('client-n')).data, { n });
    }
  });

  it('over the rate are refused with 4301 and the connection stays', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    const [hers, his] = [await ann.join('private-flood'), await bob.join('private-flood')];
    for (let n = 0; n < 60; n++) {
      hers.channel.trigger('client-n', { n });
    }
    await ann.errors.next(4301);
    await ann.settled();
    await settle(his);
    const relayed = his.all('client-n').length;
    const refused = ann.errors.all(4301).length;
    assert.ok(relayed >= 10 && relayed < 60, `${relayed} of 60 relayed`);
    assert.equal(relayed + refused, 60);
    assert.equal(ann.pusher.connection.state, 'connected');
  });

  for (const [what, channel, join] of [
    ['a channel that the page has not joined', 'private-elsewhere', false],
    ['a public channel', 'plaza', true],
  ]) {
    it(`to ${what} are refused with 4301`, async (t) => {
      const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
      const his = await bob.join(channel);
      if (join) {
        await ann.join(channel);
      }
      ann.pusher.send_event('client-intrusion', { n: 1 }, channel);
      await ann.errors.next(4301);
      await settle(his);
      his.none('client-intrusion');
      assert.equal(ann.pusher.connection.state, 'connected');
    });
  }

  it('are not cached', async (t) => {
    const ann = await open(t, 'ann');
    const hers = await ann.join('private-cache-draft');
    hers.channel.trigger('client-typing', {});
    await ann.settled();
    const bob = await open(t, 'bob');
    await (await bob.join('private-cache-draft')).next('pusher:cache_miss');
    bob.frames.none('client-typing');
  });

  it('are refused with 4301 where the application has them off', async (t) => {
    const backend = await Backend.start(t, edge.server, QUIET);
    const [ann, bob] = [
      await open(t, 'ann', { app: QUIET, backend }),
      await open(t, 'bob', { app: QUIET, backend }),
    ];
    const [hers, his] = [await ann.join('private-chat'), await bob.join('private-chat')];
    hers.channel.trigger('client-typing', {});
    await ann.errors.next(4301);
    const id = await backend.mark('private-chat');
    await his.next('mark', (data) => data.id === id);
    his.none('client-typing');
  });
});
