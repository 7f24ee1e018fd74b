// Event streams and polls, with nothing but fetch: they lose as little as a WebSocket
// with recovery does, and say as much.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backend, stage } from '../harness/backend.mjs';
import { Poller, Stream, admission } from '../harness/doors.mjs';
import { Press, whole } from '../harness/press.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { APP, Server } from '../harness/server.mjs';

const CONFIG = `
[[history]]
match = "short-*"
events = 5
[[history]]
match = "off-*"
events = 0
[[history]]
match = "*"
events = 2000
`;
const SUCCEEDED = 'pusher_internal:subscription_succeeded';
const POSITION = /^[A-Za-z0-9]{8,16}:[0-9]+$/;

function perfect(door, press) {
  for (const [channel, last] of press.last) {
    assert.deepEqual(door.ledgers.get(channel).verdict(1, last), whole(last), `${door.name}, ${channel}`);
  }
}

describe('without a WebSocket', { concurrency: true }, () => {
  const edge = stage(APP, { config: CONFIG });

  for (const how of ['rst', 'fin', 'tear']) {
    it(`a stream and a poll miss nothing when their line is lost: ${how}`, async (t) => {
      const channels = [`news-${how}`, `private-${how}`];
      const proxy = await Proxy.start(t, edge.server);
      const press = new Press(edge.backend, channels);
      const query = await admission(proxy, edge.backend, channels);
      const doors = [Stream.open(t, proxy, query, { name: `stream ${how}` }), Poller.open(t, proxy, query, { name: `poller ${how}` })];
      for (const channel of channels) await doors[0].frames.next(SUCCEEDED, (frame) => frame.channel === channel);
      await doors[1].stands();

      press.start();
      for (let round = 0; round < 4; round++) {
        for (const door of doors) {
          for (const channel of channels) await door.ledgers.get(channel).reaches(press.last.get(channel) + 4);
        }
        if (how === 'tear') proxy.tear(333);
        else proxy.cut(how);
      }
      await press.stop();
      for (const door of doors) {
        await door.reaches(press);
        perfect(door, press);
      }
    });
  }

  it('a stream is present, is given no more than it may see, and tells a retry of its own', async (t) => {
    const room = 'presence-room';
    const query = await admission(edge.server, edge.backend, [room, 'news-p'], 'ann');
    const ann = Stream.open(t, edge.server, query);
    const { data: joined } = await ann.frames.next(SUCCEEDED, (frame) => frame.channel === room);
    assert.deepEqual(JSON.parse(joined.data).presence.ids, ['ann']);
    assert.equal(ann.answer.headers.get('content-type'), 'text/event-stream');
    assert.ok(ann.retry >= 1000 && ann.retry <= 5000, `retry: ${ann.retry}`);

    const bob = Stream.open(t, edge.server, await admission(edge.server, edge.backend, [room], 'bob'));
    const { data: added } = await ann.frames.next('pusher_internal:member_added');
    assert.equal(JSON.parse(added.data).user_id, 'bob');
    bob.end();
    await ann.frames.next('pusher_internal:member_removed');

    const { status, body } = await refused(`/sse?channel=private-x&auth=${APP.key}:${'0'.repeat(64)}&socket_id=${query.get('socket_id')}`);
    assert.deepEqual([status, body.code, body.channel], [403, 'bad_signature', 'private-x']);
    const poll = await refused(`/poll?${query}`);
    assert.deepEqual([poll.status, poll.body.code, poll.body.channel], [400, 'bad_channel', room]);
  });

  const refused = async (path) => {
    const answer = await fetch(`${edge.server.url}/app/${APP.key}${path}`);
    return { status: answer.status, body: await answer.json() };
  };

  it('a stream that comes too late is told expired, and goes on', async (t) => {
    const press = new Press(edge.backend, ['short-s']);
    await press.publish('short-s');
    const first = Stream.open(t, edge.server, await admission(edge.server, edge.backend, ['short-s']), { since: undefined });
    await first.frames.next(SUCCEEDED);
    const { id } = first;
    assert.match(id, POSITION);
    first.end();
    await press.publish('short-s', 6);

    const second = Stream.open(t, edge.server, await admission(edge.server, edge.backend, ['short-s']), { since: id });
    const { data } = await second.frames.next(SUCCEEDED);
    assert.deepEqual([data.recovered, data.reason, data.position.seq], [false, 'expired', 7]);
    await press.publish('short-s');
    await second.reaches(press);
    assert.deepEqual(second.ledgers.get('short-s').entries, [{ gap: 'expired' }, { n: 8 }]);
  });

  it('a stream begins where rewind says', async (t) => {
    const press = new Press(edge.backend, ['news-r']);
    await press.publish('news-r', 5);
    const query = await admission(edge.server, edge.backend, ['news-r']);
    query.append('rewind', '3');
    const stream = Stream.open(t, edge.server, query);
    await stream.reaches(press);
    assert.deepEqual(stream.ledgers.get('news-r').numbers(), [3, 4, 5]);
  });

  it('a poll is answered 304 from memory, more for a long absence, and what is lost by name', async (t) => {
    const ask = async (channel, { since, etag, wait = 0 } = {}) => {
      const url = `${edge.server.url}/app/${APP.key}/poll?channel=${channel}&wait=${wait}${since ? `&since=${since}` : ''}`;
      const answer = await fetch(url, { headers: etag ? { 'If-None-Match': etag } : {} });
      const text = await answer.text();
      return { status: answer.status, etag: answer.headers.get('etag'), ...(text && JSON.parse(text)) };
    };
    const press = new Press(edge.backend, ['news-q', 'short-q', 'off-q']);
    await press.publish('short-q');
    const start = { news: await ask('news-q'), short: await ask('short-q') };
    assert.match(start.news.next, POSITION);
    assert.equal(start.news.etag, `"${start.news.next}"`);
    assert.deepEqual(start.news.channels[0].events, []);
    assert.equal((await ask('news-q', { since: start.news.next, etag: start.news.etag })).status, 304);

    for (let i = 0; i < 105; i++) await press.publish('news-q', 10);
    const first = await ask('news-q', { since: start.news.next });
    assert.deepEqual([first.channels[0].events.length, first.channels[0].more, first.channels[0].recovered], [1000, true, true]);
    const rest = await ask('news-q', { since: first.next });
    assert.deepEqual([rest.channels[0].events.length, rest.channels[0].more], [50, false]);

    await press.publish('short-q', 6);
    const late = await ask('short-q', { since: start.short.next });
    assert.deepEqual([late.channels[0].recovered, late.channels[0].reason, late.channels[0].events], [false, 'expired', []]);
    assert.equal(late.next.split(':')[1], '7');

    const off = await ask('off-q');
    assert.equal(off.next, '-');
    const waiting = ask('off-q', { since: '-', wait: 5 });
    await press.publish('off-q');
    // The event may have come before the poll: a channel without history keeps nothing.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await press.publish('off-q');
    assert.equal((await waiting).channels[0].events.length, 1);
  });
});

describe('without a WebSocket', () => {
  it('nothing is missed when the server is stopped, killed and started again', async (t) => {
    const server = await Server.start(t, { config: CONFIG });
    const backend = await Backend.start(t, server);
    const proxy = await Proxy.start(t, server);
    const channels = ['news', 'private-a'];
    const press = new Press(backend, channels);
    const query = await admission(proxy, backend, channels); // session ids survive restarts
    const stream = Stream.open(t, proxy, query);
    const poller = Poller.open(t, proxy, query);
    for (const channel of channels) await stream.frames.next(SUCCEEDED, (frame) => frame.channel === channel);
    await poller.stands();

    press.start();
    for (const end of ['terminate', 'kill', 'terminate', 'kill']) {
      for (const door of [stream, poller]) {
        for (const channel of channels) await door.ledgers.get(channel).reaches(press.last.get(channel) + 5);
      }
      const exit = await server[end]();
      if (end === 'terminate') {
        assert.deepEqual([exit.code, exit.signal], [0, null], server.log);
        assert.equal((await stream.frames.next('pusher:error')).data.data.code, 4200);
      }
      await server.run();
    }
    await press.stop();
    for (const door of [stream, poller]) {
      await door.reaches(press);
      perfect(door, press);
    }
    assert.equal(stream.over, null);
  });
});
