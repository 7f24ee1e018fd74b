import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { before, describe, it } from 'node:test';
import { sdkFor, stage } from '../harness/backend.mjs';
import { APP } from '../harness/server.mjs';
import { Tab } from '../harness/tab.mjs';

describe('server SDK', () => {
  const edge = stage();
  let sdk;
  before(() => (sdk = edge.backend.sdk));

  const open = async (t, user, options = {}) => {
    const tab = Tab.open(t, edge.server, { name: user, backend: edge.backend, user, ...options });
    await tab.online();
    return tab;
  };

  const body = async (promise) => (await promise).json();

  // refused resolves with the status and the JSON body of a refusal.
  const refused = async (promise) => {
    const err = await promise.then(() => assert.fail('was accepted'), (e) => e);
    assert.ok(err.status, String(err));
    return { status: err.status, body: JSON.parse(err.body) };
  };

  it('trigger: one channel, several, and none listening', async (t) => {
    const tab = await open(t, 'a');
    const [one, two] = [await tab.join('t1'), await tab.join('t2')];
    assert.deepEqual(await body(sdk.trigger('t1', 'e', { n: 1 })), {});
    assert.deepEqual(await body(sdk.trigger(['t1', 't2'], 'e', { n: 2 })), {});
    assert.deepEqual(await body(sdk.trigger('nobody-there', 'e', { n: 3 })), {});
    assert.deepEqual((await one.next('e')).data, { n: 1 });
    assert.deepEqual((await one.next('e')).data, { n: 2 });
    assert.deepEqual((await two.next('e')).data, { n: 2 });
  });

  it('trigger: a hundred channels at once, and not one more', async (t) => {
    const tab = await open(t, 'a');
    const names = Array.from({ length: 100 }, (_, i) => `hundred-${i}`);
    const last = await tab.join('hundred-99');
    await sdk.trigger(names, 'e', {});
    await last.next('e');
    const over = await refused(post('/events', { name: 'e', data: '{}', channels: [...names, 'one-more'] }));
    assert.deepEqual([over.status, over.body.code], [400, 'too_many_channels']);
  });

  it('trigger: the connection named by socket_id is left out', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    const [hers, his] = [await ann.join('excl'), await bob.join('excl')];
    await sdk.trigger('excl', 'e', { n: 1 }, { socket_id: ann.socketId });
    await sdk.trigger('excl', 'e', { n: 2 }, { socket_id: '123.456' });
    assert.deepEqual((await his.next('e')).data, { n: 1 });
    assert.deepEqual((await his.next('e')).data, { n: 2 });
    assert.deepEqual((await hers.next('e')).data, { n: 2 });
    assert.equal(hers.all('e').length, 1);
  });

  it('trigger: info about what was published to', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    await ann.join('presence-info');
    await bob.join('presence-info');
    await bob.join('info');
    const answer = await body(sdk.trigger(['presence-info', 'info'], 'e', {}, { info: 'user_count,subscription_count' }));
    assert.deepEqual(answer, { channels: { 'presence-info': { user_count: 2 }, info: { subscription_count: 1 } } });
  });

  it('triggerBatch: events to several channels in one call, in order', async (t) => {
    const tab = await open(t, 'a');
    const [one, two] = [await tab.join('b1'), await tab.join('b2')];
    const batch = [];
    for (let n = 0; n < 10; n++) {
      batch.push({ channel: n % 2 ? 'b1' : 'b2', name: 'e', data: { n } });
    }
    assert.deepEqual(await body(sdk.triggerBatch(batch)), {});
    for (let n = 0; n < 10; n++) {
      assert.deepEqual((await (n % 2 ? one : two).next('e')).data, { n });
    }
  });

  it('triggerBatch: exclusion and info of each item', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    const [hers, his] = [await ann.join('presence-batch'), await bob.join('presence-batch')];
    const answer = await body(sdk.triggerBatch([
      { channel: 'presence-batch', name: 'e', data: { n: 1 }, socket_id: ann.socketId, info: 'user_count' },
      { channel: 'presence-batch', name: 'e', data: { n: 2 } },
    ]));
    assert.deepEqual(answer, { batch: [{ user_count: 2 }, {}] });
    assert.deepEqual((await hers.next('e')).data, { n: 2 });
    assert.deepEqual((await his.next('e')).data, { n: 1 });
    assert.deepEqual((await his.next('e')).data, { n: 2 });
  });

  it('triggerBatch: ten events and not one more', async () => {
    const item = () => ({ channel: 'b', name: 'e', data: '{}' });
    await sdk.triggerBatch(Array.from({ length: 10 }, item));
    const over = await refused(sdk.triggerBatch(Array.from({ length: 11 }, item)));
    assert.deepEqual([over.status, over.body.code], [400, 'too_many_events']);
  });

  it('GET channels: the occupied ones, by prefix, with counts', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    await ann.join('list-a');
    await bob.join('list-b');
    await ann.join('presence-list');
    await bob.join('presence-list');
    const list = (params) => body(sdk.get({ path: '/channels', params }));

    assert.deepEqual(await list({ filter_by_prefix: 'list-' }), { channels: { 'list-a': {}, 'list-b': {} } });
    assert.deepEqual(await list({ filter_by_prefix: 'presence-list', info: 'user_count' }),
      { channels: { 'presence-list': { user_count: 2 } } });
    assert.deepEqual(await list({ filter_by_prefix: 'nothing-here-' }), { channels: {} });
    const all = await list({});
    for (const name of ['list-a', 'list-b', 'presence-list']) {
      assert.deepEqual(all.channels[name], {}, name);
    }
    assert.equal((await refused(list({ info: 'user_count' }))).status, 400);
    assert.equal((await refused(list({ filter_by_prefix: 'list-', info: 'user_count' }))).status, 400);
  });

  it('GET channel: occupied or not, counts and cache', async (t) => {
    const [ann, bob] = [await open(t, 'ann'), await open(t, 'bob')];
    await ann.join('single');
    await bob.join('single');
    await ann.join('presence-single');
    await ann.join('cache-single');
    await sdk.trigger('cache-single', 'e', { n: 1 });
    const get = (name, info) => body(sdk.get({ path: `/channels/${name}`, params: info ? { info } : {} }));

    assert.deepEqual(await get('single'), { occupied: true });
    assert.deepEqual(await get('single', 'subscription_count'), { occupied: true, subscription_count: 2 });
    assert.deepEqual(await get('presence-single', 'user_count'), { occupied: true, user_count: 1 });
    assert.deepEqual(await get('never-seen'), { occupied: false });
    const cached = await get('cache-single', 'cache');
    assert.equal(cached.cache.data, '{"n":1}');
    assert.ok(cached.cache.ttl > 0 && cached.cache.ttl <= 1800, `ttl ${cached.cache.ttl}`);
    assert.deepEqual([(await refused(get('single', 'user_count'))).body.code, (await refused(get('single', 'nonsense'))).body.code],
      ['bad_info', 'bad_info']);
  });

  it('GET users: of a presence channel, each once', async (t) => {
    const tabs = await Promise.all(['ann', 'ann', 'bob'].map((user) => open(t, user)));
    for (const tab of tabs) {
      await tab.join('presence-users');
    }
    const users = (name) => body(sdk.get({ path: `/channels/${name}/users` }));
    const { users: list } = await users('presence-users');
    assert.deepEqual(list.map((u) => u.id).sort(), ['ann', 'bob']);
    assert.deepEqual(await users('presence-empty'), { users: [] });
    assert.equal((await refused(users('public'))).status, 400);
  });

  it('terminate: of a user id that needs escaping, and of nobody', async () => {
    assert.deepEqual(await body(sdk.terminateUserConnections('nobody')), {});
    assert.deepEqual(await body(sdk.terminateUserConnections('a b ü')), {});
  });

  it('counts the connections, as Laravel Pulse asks', async (t) => {
    const count = async () => (await body(sdk.get({ path: '/connections' }))).connections;
    const tab = await open(t, 'a');
    assert.ok((await count()) >= 1);
    await Promise.all(['b', 'c', 'd'].map((user) => open(t, user)));
    assert.ok((await count()) >= 4);
    assert.equal(tab.pusher.connection.state, 'connected');
  });

  it('refuses with a status and a body that says why', async () => {
    for (const [name, call, status, code] of [
      ['wrong secret', () => sdkFor(edge.server, { ...APP, secret: 'wrong' }).trigger('c', 'e', {}), 401, 'bad_signature'],
      ['wrong key', () => sdkFor(edge.server, { ...APP, key: 'wrong' }).trigger('c', 'e', {}), 401, 'bad_signature'],
      ['unknown application', () => sdkFor(edge.server, { ...APP, appId: 'nobody' }).trigger('c', 'e', {}), 404, 'unknown_app'],
      ['data too large', () => sdk.trigger('c', 'e', 'x'.repeat(10_241)), 413, 'data_too_large'],
      ['no channel', () => post('/events', { name: 'e', data: '{}' }), 400, 'missing_field'],
      ['no name', () => post('/events', { data: '{}', channel: 'c' }), 400, 'missing_field'],
      ['a bad channel name', () => post('/events', { name: 'e', data: '{}', channel: 'a b' }), 400, 'bad_channel'],
      ['an unknown path', () => sdk.get({ path: '/nothing' }), 404, 'not_found'],
    ]) {
      const got = await refused(call());
      assert.deepEqual([got.status, got.body.code, got.body.status], [status, code, status], name);
      assert.ok(got.body.error.length > 0, name);
    }
    assert.deepEqual(await body(sdk.trigger('c', 'e', 'x'.repeat(10_240))), {});
  });

  it('keeps its TCP connection over many calls', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let opened = 0;
    const create = agent.createConnection;
    agent.createConnection = function (...args) {
      opened++;
      return create.apply(this, args);
    };
    const kept = sdkFor(edge.server, APP, { agent });
    for (let n = 0; n < 50; n++) {
      await body(kept.trigger('kept', 'e', { n }));
    }
    agent.destroy();
    assert.equal(opened, 1);
  });

  it('has every call under way at once answered and delivered', async (t) => {
    const tab = await open(t, 'a');
    const room = await tab.join('parallel');
    await Promise.all(Array.from({ length: 200 }, (_, n) => sdk.trigger('parallel', 'e', { n })));
    const id = await edge.backend.mark('parallel');
    await room.next('mark', (data) => data.id === id);
    const got = room.all('e').map((r) => r.data.n).sort((a, b) => a - b);
    assert.deepEqual(got, Array.from({ length: 200 }, (_, n) => n));
  });

  it('answers /up', async () => {
    const answer = await fetch(`${edge.server.url}/up`);
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), { health: 'OK' });
  });

  const post = (path, value) => sdk.post({ path, body: value });
});
