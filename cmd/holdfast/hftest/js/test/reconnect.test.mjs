import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backend } from '../harness/backend.mjs';
import { Server } from '../harness/server.mjs';
import { Tab } from '../harness/tab.mjs';

// A page whose first attempt after the drop meets a closed port waits 15 s for
// the next one: after an orderly stop it tries again at once, and always meets it.
const RETRY = 40_000;

describe('a page', () => {
  it('comes back by itself after the server was killed, with all that it had', async (t) => {
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const tab = Tab.open(t, server, { name: 'ann', backend, user: 'ann' });
    const before = await tab.online();
    const rooms = {};
    for (const channel of ['news', 'private-a', 'presence-a', 'private-encrypted-a']) {
      rooms[channel] = await tab.join(channel);
    }
    tab.pusher.signin();
    const mine = (_, r) => r.channel === '#server-to-user-ann';
    await tab.frames.next('pusher_internal:subscription_succeeded', mine);

    const exit = await server.kill();
    assert.equal(exit.signal, 'SIGKILL');
    await server.run(); // well within the second that the page waits

    const after = await tab.online(RETRY);
    assert.notEqual(after, before);
    for (const [channel, room] of Object.entries(rooms)) {
      await room.next('pusher:subscription_succeeded');
      await backend.sdk.trigger(channel, 'again', { channel });
      assert.deepEqual((await room.next('again')).data, { channel });
    }
    await tab.frames.next('pusher_internal:subscription_succeeded', mine);
    await backend.sdk.sendToUser('ann', 'notice', { n: 1 });
    assert.deepEqual((await tab.user.next('notice')).data, { n: 1 });
    assert.equal(rooms['presence-a'].channel.members.count, 1);
  });

  it('comes back after an orderly stop', async (t) => {
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const tab = Tab.open(t, server, { name: 'bob', backend, user: 'bob' });
    await tab.online();
    const room = await tab.join('news');

    const exit = await server.terminate();
    assert.deepEqual([exit.code, exit.signal], [0, null], server.log);
    await tab.errors.next(4200);
    await server.run();
    await tab.online(RETRY);
    await room.next('pusher:subscription_succeeded');
    await backend.sdk.trigger('news', 'again', {});
    await room.next('again');
  });

  it('that was signed for before cannot be impersonated after a restart', async (t) => {
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const tab = Tab.open(t, server, { name: 'ann', backend, user: 'ann' });
    const { auth } = backend.sdk.authorizeChannel(await tab.online(), 'private-a');
    await server.kill();
    await server.run();
    await tab.online(RETRY);
    tab.pusher.send_event('pusher:subscribe', { channel: 'private-a', auth });
    const { data } = await tab.frames.next('pusher:subscription_error', (_, r) => r.channel === 'private-a');
    assert.equal(data.status, 401);
  });
});
