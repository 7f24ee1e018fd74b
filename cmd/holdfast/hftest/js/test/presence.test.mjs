import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stage } from '../harness/backend.mjs';
import { Tab } from '../harness/tab.mjs';

describe('presence', () => {
  const edge = stage();

  const open = async (t, user, name = user) => {
    const tab = Tab.open(t, edge.server, { name, backend: edge.backend, user });
    await tab.online();
    return tab;
  };

  const members = (joined) => {
    const list = {};
    joined.each((member) => (list[member.id] = member.info));
    return list;
  };

  // settle publishes a mark and waits until the room has it.
  const settle = async (room) => {
    const id = await edge.backend.mark(room.channel.name);
    await room.next('mark', (data) => data.id === id);
  };

  it('hands the joiner the members, and tells the others', async (t) => {
    const ann = await open(t, 'ann');
    const room = await ann.join('presence-lobby');
    assert.deepEqual(members(room.joined), { ann: { name: 'ANN' } });
    assert.equal(room.joined.count, 1);
    assert.deepEqual(room.joined.me, { id: 'ann', info: { name: 'ANN' } });

    const bob = await open(t, 'bob');
    const his = await bob.join('presence-lobby');
    assert.deepEqual(members(his.joined), { ann: { name: 'ANN' }, bob: { name: 'BOB' } });
    assert.deepEqual((await room.next('pusher:member_added')).data, { id: 'bob', info: { name: 'BOB' } });

    bob.pusher.disconnect();
    const { data } = await room.next('pusher:member_removed');
    assert.equal(data.id, 'bob');
    assert.equal(room.channel.members.count, 1);
  });

  it('does not tell a joiner of itself', async (t) => {
    const ann = await open(t, 'ann');
    const room = await ann.join('presence-mirror');
    await settle(room);
    room.none('pusher:member_added');
  });

  it('counts two tabs of one user as one member', async (t) => {
    const bob = await open(t, 'bob');
    const his = await bob.join('presence-tabs');
    const one = await open(t, 'ann', 'ann, first tab');
    const two = await open(t, 'ann', 'ann, second tab');
    const first = await one.join('presence-tabs');
    await his.next('pusher:member_added', (data) => data.id === 'ann');
    const second = await two.join('presence-tabs');
    assert.equal(second.joined.count, 2);
    await settle(his);
    assert.equal(his.all('pusher:member_added').length, 1);
    first.none('pusher:member_added');

    one.pusher.unsubscribe('presence-tabs');
    await one.settled();
    await settle(his);
    his.none('pusher:member_removed');
    assert.deepEqual(await users('presence-tabs'), ['ann', 'bob']);

    two.pusher.disconnect();
    await his.next('pusher:member_removed', (data) => data.id === 'ann');
    assert.deepEqual(await users('presence-tabs'), ['bob']);
    assert.equal(his.all('pusher:member_removed').length, 1);
  });

  it('tells of a page that vanished without a word', async (t) => {
    const bob = await open(t, 'bob');
    const his = await bob.join('presence-vanish');
    const ann = await open(t, 'ann');
    await ann.join('presence-vanish');
    await his.next('pusher:member_added', (data) => data.id === 'ann');
    const socket = ann.pusher.connection.connection.transport.socket;
    ann.pusher.config.enabledTransports = [];
    socket._stream.destroy(); // the TCP connection, below the WebSocket
    await his.next('pusher:member_removed', (data) => data.id === 'ann');
  });

  it('refuses a member whose signature is forged', async (t) => {
    const eve = await open(t, 'eve');
    const room = eve.subscribe('presence-forged');
    assert.equal((await room.next('pusher:subscription_error')).data.status, 401);
    const answer = await edge.backend.sdk.get({ path: '/channels/presence-forged' });
    assert.deepEqual(await answer.json(), { occupied: false });
  });

  it('refuses channel data that was changed after it was signed', async (t) => {
    const eve = await open(t, 'eve');
    const signed = edge.backend.sdk.authorizeChannel(eve.socketId, 'presence-changed', { user_id: 'eve' });
    eve.pusher.send_event('pusher:subscribe', {
      channel: 'presence-changed',
      auth: signed.auth,
      channel_data: JSON.stringify({ user_id: 'admin' }),
    });
    const { data } = await eve.frames.next('pusher:subscription_error', (_, r) => r.channel === 'presence-changed');
    assert.equal(data.status, 401);
  });

  it('keeps the last event of a presence cache channel', async (t) => {
    const ann = await open(t, 'ann');
    const room = await ann.join('presence-cache-board');
    await room.next('pusher:cache_miss');
    await edge.backend.sdk.trigger('presence-cache-board', 'move', { n: 1 });
    await room.next('move');
    const bob = await open(t, 'bob');
    const his = await bob.join('presence-cache-board');
    assert.deepEqual((await his.next('move')).data, { n: 1 });
  });

  it('agrees with itself after many joins and leaves at once', async (t) => {
    const watcher = await open(t, 'watcher');
    const room = await watcher.join('presence-crowd');
    const crowd = await Promise.all(Array.from({ length: 30 }, (_, i) => open(t, `user${i % 10}`, `tab${i}`)));
    await Promise.all(crowd.map((tab) => tab.join('presence-crowd')));
    await settle(room);
    assert.equal(room.channel.members.count, 11);
    assert.equal((await users('presence-crowd')).length, 11);

    // Every tab of the even users goes; one of three tabs of the odd ones stays.
    const leaving = crowd.filter((_, i) => i % 2 === 0 || i >= 10);
    for (const tab of leaving) {
      tab.pusher.unsubscribe('presence-crowd');
    }
    await Promise.all(leaving.map((tab) => tab.settled()));
    await settle(room);
    const left = ['user1', 'user3', 'user5', 'user7', 'user9', 'watcher'];
    assert.deepEqual(Object.keys(members(room.channel.members)).sort(), left);
    assert.deepEqual(await users('presence-crowd'), left);
    assert.equal(room.all('pusher:member_added').length, 10);
    assert.equal(room.all('pusher:member_removed').length, 5);
  });

  async function users(channel) {
    const answer = await edge.backend.sdk.get({ path: `/channels/${channel}/users` });
    return (await answer.json()).users.map((user) => user.id).sort();
  }
});
