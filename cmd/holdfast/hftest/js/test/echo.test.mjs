import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { Events } from '../harness/events.mjs';
import { stage } from '../harness/backend.mjs';
import { APP } from '../harness/server.mjs';
import { Tab } from '../harness/tab.mjs';

describe('Laravel Echo', () => {
  const edge = stage();

  // open makes an Echo as a Laravel page does, with the reverb broadcaster.
  const open = async (t, user) => {
    const tab = new Tab(`echo of ${user}`);
    const headers = { 'X-User': user };
    const echo = new Echo({
      broadcaster: 'reverb',
      Pusher,
      key: APP.key,
      wsHost: '127.0.0.1',
      wsPort: edge.server.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      authEndpoint: `${edge.backend.url}/broadcasting/auth`,
      auth: { headers },
      userAuthentication: { endpoint: `${edge.backend.url}/broadcasting/user-auth`, headers },
    });
    t.after(() => echo.disconnect());
    tab.watch(echo.connector.pusher);
    await tab.online();
    return { echo, tab, heard: new Events(`heard by ${user}`) };
  };

  const joined = (page, channel) =>
    page.tab.frames.next('pusher_internal:subscription_succeeded', (_, r) => r.channel === channel);

  it('listens on a public channel by class name, by broadcast name and to all', async (t) => {
    const page = await open(t, 'ann');
    page.echo.channel('orders')
      .listen('OrderShipped', (data) => page.heard.push('class', data))
      .listen('.order.shipped', (data) => page.heard.push('name', data))
      .listenToAll((event, data) => page.heard.push(`all ${event}`, data));
    await joined(page, 'orders');
    await edge.backend.sdk.trigger('orders', 'App\\Events\\OrderShipped', { id: 1 });
    await edge.backend.sdk.trigger('orders', 'order.shipped', { id: 2 });
    await page.heard.next('class', (d) => d.id === 1);
    await page.heard.next('name', (d) => d.id === 2);
    assert.equal(page.heard.all('all \\OrderShipped').length + page.heard.all('all OrderShipped').length, 1);
    assert.equal(page.heard.all('all .order.shipped').length, 1);
  });

  it('listens on a private channel and leaves it', async (t) => {
    const page = await open(t, 'ann');
    page.echo.private('App.Models.User.1').listen('Paid', (data) => page.heard.push('paid', data));
    await joined(page, 'private-App.Models.User.1');
    await edge.backend.sdk.trigger('private-App.Models.User.1', 'App\\Events\\Paid', { n: 1 });
    assert.deepEqual((await page.heard.next('paid')).data, { n: 1 });

    page.echo.leave('App.Models.User.1');
    await page.tab.settled();
    const answer = await edge.backend.sdk.get({ path: '/channels/private-App.Models.User.1' });
    assert.deepEqual(await answer.json(), { occupied: false });
  });

  it('hears notifications', async (t) => {
    const page = await open(t, 'ann');
    page.echo.private('App.Models.User.2').notification((data) => page.heard.push('note', data));
    await joined(page, 'private-App.Models.User.2');
    await edge.backend.sdk.trigger('private-App.Models.User.2',
      'Illuminate\\Notifications\\Events\\BroadcastNotificationCreated', { type: 'Invoice', id: 'x' });
    assert.equal((await page.heard.next('note')).data.type, 'Invoice');
  });

  it('is told when a private channel is denied, by the endpoint or by the server', async (t) => {
    const page = await open(t, 'ann');
    for (const [name, status] of [['forbidden', 403], ['forged', 401]]) {
      page.echo.private(name).error((err) => page.heard.push('error', err));
      assert.equal((await page.heard.next('error')).data.status, status, name);
    }
  });

  it('whispers', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    const hers = ann.echo.private('chat').listenForWhisper('typing', (data) => ann.heard.push('typing', data));
    bob.echo.private('chat').listenForWhisper('typing', (data) => bob.heard.push('typing', data));
    await joined(ann, 'private-chat');
    await joined(bob, 'private-chat');
    hers.whisper('typing', { name: 'ann' });
    assert.deepEqual((await bob.heard.next('typing')).data, { name: 'ann' });
    await ann.tab.settled();
    ann.heard.none('typing');
  });

  it('sees who is here, who joins and who leaves', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    ann.echo.join('room')
      .here((users) => ann.heard.push('here', users))
      .joining((user) => ann.heard.push('joining', user))
      .leaving((user) => ann.heard.push('leaving', user));
    assert.deepEqual((await ann.heard.next('here')).data, [{ name: 'ANN' }]);
    bob.echo.join('room').here((users) => bob.heard.push('here', users));
    assert.deepEqual((await bob.heard.next('here')).data.map((u) => u.name).sort(), ['ANN', 'BOB']);
    assert.deepEqual((await ann.heard.next('joining')).data, { name: 'BOB' });
    bob.echo.leave('room');
    assert.deepEqual((await ann.heard.next('leaving')).data, { name: 'BOB' });
  });

  it('reads an encrypted private channel', async (t) => {
    const page = await open(t, 'ann');
    page.echo.encryptedPrivate('vault').listen('.secret', (data) => page.heard.push('secret', data));
    await joined(page, 'private-encrypted-vault');
    await edge.backend.sdk.trigger('private-encrypted-vault', 'secret', { pin: 99 });
    assert.deepEqual((await page.heard.next('secret')).data, { pin: 99 });
  });

  it('leaves its own socket out of what it caused', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    for (const page of [ann, bob]) {
      page.echo.channel('board').listen('Moved', (data) => page.heard.push('moved', data));
      await joined(page, 'board');
    }
    await edge.backend.sdk.trigger('board', 'App\\Events\\Moved', { n: 1 }, { socket_id: ann.echo.socketId() });
    await edge.backend.sdk.trigger('board', 'App\\Events\\Moved', { n: 2 });
    assert.deepEqual((await ann.heard.next('moved')).data, { n: 2 });
    assert.deepEqual((await bob.heard.next('moved')).data, { n: 1 });
  });

  it('signs in', async (t) => {
    const page = await open(t, 'ann');
    page.echo.connector.signin();
    const { data } = await page.tab.frames.next('pusher:signin_success');
    assert.equal(JSON.parse(data.user_data).id, 'ann');
  });
});
