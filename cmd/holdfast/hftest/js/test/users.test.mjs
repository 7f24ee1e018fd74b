import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stage } from '../harness/backend.mjs';
import { Tab, hasGivenUp } from '../harness/tab.mjs';

describe('users', () => {
  const edge = stage();

  const open = async (t, user, { name = user, ...options } = {}) => {
    const tab = Tab.open(t, edge.server, { name, backend: edge.backend, user, ...options });
    await tab.online();
    return tab;
  };

  // signIn also waits for the channel that pusher-js joins by itself afterwards.
  const signIn = async (t, user, options) => {
    const tab = await open(t, user, options);
    tab.pusher.signin();
    await tab.frames.next('pusher:signin_success');
    await tab.frames.next('pusher_internal:subscription_succeeded', (_, r) => r.channel === `#server-to-user-${user}`);
    return tab;
  };

  it('sign in', async (t) => {
    const tab = await signIn(t, 'sid');
    await tab.pusher.user.signinDonePromise;
    assert.deepEqual(tab.pusher.user.user_data, { id: 'sid', user_info: { name: 'SID' } });
  });

  it('are reached by the server in every tab, and nobody else is', async (t) => {
    const [one, two, other] = [
      await signIn(t, 'ann', { name: 'first' }),
      await signIn(t, 'ann', { name: 'second' }),
      await signIn(t, 'bob'),
    ];
    await edge.backend.sdk.sendToUser('ann', 'notice', { text: 'hello' });
    assert.deepEqual((await one.user.next('notice')).data, { text: 'hello' });
    assert.deepEqual((await two.user.next('notice')).data, { text: 'hello' });
    await edge.backend.sdk.sendToUser('bob', 'last', {});
    await other.user.next('last');
    other.user.none('notice');
  });

  it('keep their channel to themselves', async (t) => {
    const ann = await signIn(t, 'ann');
    for (const eve of [await open(t, 'eve', { name: 'eve, not signed in' }), await signIn(t, 'eve')]) {
      eve.pusher.send_event('pusher:subscribe', { channel: '#server-to-user-ann', auth: '' });
      const { data } = await eve.frames.next('pusher:subscription_error', (_, r) => r.channel === '#server-to-user-ann');
      assert.equal(data.status, 401);
      await edge.backend.sdk.sendToUser('ann', 'secret', { n: 1 });
      await ann.user.next('secret');
      await eve.settled();
      eve.frames.none('secret');
    }
  });

  it('with a forged signature are told 4009 and stay strangers', async (t) => {
    const eve = await open(t, 'eve');
    eve.pusher.send_event('pusher:signin', {
      auth: `app-key:${'0'.repeat(64)}`,
      user_data: JSON.stringify({ id: 'ann' }),
    });
    await eve.errors.next(4009);
    await eve.settled();
    eve.frames.none('pusher:signin_success');
    eve.pusher.send_event('pusher:subscribe', { channel: '#server-to-user-ann', auth: '' });
    await eve.frames.next('pusher:subscription_error');
  });

  it('are told who of their watchlist is there, and of every change', async (t) => {
    const bob = await signIn(t, 'bob2');
    const ann = await open(t, 'ann2', { watch: ['bob2', 'carol2'] });
    ann.pusher.signin();
    await ann.frames.next('pusher_internal:watchlist_events');
    const state = (event) => ann.watchlist.all(event).map((r) => r.data.user_ids);
    assert.deepEqual(state('online'), [['bob2']]);
    assert.deepEqual(state('offline'), [['carol2']]);

    const carol = await signIn(t, 'carol2');
    assert.deepEqual((await ann.watchlist.next('online', (d) => d.user_ids.includes('carol2'))).data.user_ids, ['carol2']);
    // A second tab changes nothing.
    const carolAgain = await signIn(t, 'carol2', { name: 'carol2, second tab' });
    carol.pusher.disconnect();
    carolAgain.pusher.disconnect();
    assert.deepEqual((await ann.watchlist.next('offline')).data.user_ids, ['carol2']);
    bob.pusher.disconnect();
    assert.deepEqual((await ann.watchlist.next('offline', (d) => d.user_ids.includes('bob2'))).data.user_ids, ['bob2']);
    assert.equal(ann.watchlist.all('online').length, 2);
  });

  it('that are terminated stay away, in every tab; the others stay', async (t) => {
    const [one, two, other] = [
      await signIn(t, 'kim', { name: 'first' }),
      await signIn(t, 'kim', { name: 'second' }),
      await signIn(t, 'lou'),
    ];
    const answer = await edge.backend.sdk.terminateUserConnections('kim');
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), {});
    for (const tab of [one, two]) {
      await tab.errors.next(4009);
      await tab.states.next('disconnected');
      assert.ok(hasGivenUp(tab), tab.name);
    }
    await other.settled();
    assert.equal(other.pusher.connection.state, 'connected');
  });

  it('that only are members of a presence channel are not terminated', async (t) => {
    const tab = await open(t, 'mia');
    await tab.join('presence-room');
    await edge.backend.sdk.terminateUserConnections('mia');
    await tab.settled();
    assert.equal(tab.pusher.connection.state, 'connected');
  });

  it('that are signed in need no channel data to join a presence channel', async (t) => {
    const tab = await signIn(t, 'zoe');
    const signed = signature(edge.backend.sdk, tab.socketId, 'presence-signed-in');
    tab.pusher.send_event('pusher:subscribe', { channel: 'presence-signed-in', auth: signed });
    const { data } = await tab.frames.next(
      'pusher_internal:subscription_succeeded',
      (_, r) => r.channel === 'presence-signed-in',
    );
    assert.deepEqual(data.presence, { ids: ['zoe'], hash: { zoe: { name: 'ZOE' } }, count: 1 });
  });
});

// signature signs a channel without channel data, which the SDK refuses to do
// for presence channels.
function signature(sdk, socketId, channel) {
  return `${sdk.config.token.key}:${sdk.config.token.sign(`${socketId}:${channel}`)}`;
}
