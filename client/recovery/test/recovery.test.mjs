import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { holdfastRecovery } from '@holdfast-edge/recovery';
import { Fake } from '../harness/fake.mjs';
import { Page, seal } from '../harness/page.mjs';

const numbers = (page, channel) => page.heard('tick', channel).map(({ n }) => n);
const publish = (fake, channel, ...ns) => ns.forEach((n) => fake.publish(channel, 'tick', { n }));

describe('a page that was away', () => {
  it('is given what it missed, once and in order, and says where it stood', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    const { recover: none } = await fake.hears('news');
    assert.equal(none, undefined, 'nothing is known at first');
    publish(fake, 'news', 1, 2);
    await page.settled('news');
    const before = page.pusher.connection.socket_id;
    const stood = page.recovery.position('news');
    assert.deepEqual(stood, fake.position('news'));

    fake.drop();
    publish(fake, 'news', 3, 4);
    await page.joined('news');
    publish(fake, 'news', 5);
    await page.settled('news');
    assert.deepEqual((await fake.hears('news')).recover, { ...stood, socket_id: before });
    assert.deepEqual(numbers(page, 'news'), [1, 2, 3, 4, 5]);
    assert.deepEqual(page.recovery.position('news'), fake.position('news'));
    assert.deepEqual(page.lost(), []);
  });

  it('recovers a quiet channel, again and again', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('quiet');
    for (let n = 0; n < 3; n++) await page.reconnect('quiet');
    publish(fake, 'quiet', 1);
    await page.settled('quiet');
    assert.deepEqual(numbers(page, 'quiet'), [1]);
    assert.deepEqual(page.lost(), []);
  });

  it('is not given what it caused itself', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    const except = page.pusher.connection.socket_id;
    fake.publish('news', 'tick', { n: 1 }, { except });
    publish(fake, 'news', 2);
    await page.settled('news');

    fake.drop();
    fake.publish('news', 'tick', { n: 3 }, { except });
    publish(fake, 'news', 4);
    await page.joined('news');
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [2, 4]);
    assert.deepEqual(page.recovery.position('news'), fake.position('news'));
    assert.deepEqual(page.lost(), []);
  });

  it('was cut in the middle of a replay', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    fake.drop();
    publish(fake, 'news', 1, 2, 3, 4);
    let cut = false;
    page.pusher.channel('news').bind('tick', ({ n }) => {
      if (n !== 2 || cut) return;
      cut = true;
      page.pusher.disconnect(); // frames 3 and 4 are on the way already
      page.pusher.connect();
    });
    await page.joined('news');
    await page.joined('news');
    await page.settled('news');
    assert.ok(cut);
    assert.deepEqual(numbers(page, 'news'), [1, 2, 3, 4]);
    assert.deepEqual(page.lost(), []);
  });

  it('was cut before its subscribe was answered', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    await fake.hears('news');
    fake.script('news', () => {});
    fake.drop();
    await fake.hears('news');
    fake.script('news', (line, data) => fake.subscribe(line, data));
    fake.drop();
    publish(fake, 'news', 1);
    await page.joined('news');
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1]);
    assert.deepEqual(page.lost(), []);
  });

  it('does not count what its former line still says: nobody listens', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    const { transport } = page.pusher.connection.connection;
    const at = page.recovery.position('news');
    page.pusher.disconnect();
    transport.emit('message', { data: JSON.stringify({ event: 'tick', channel: 'news', data: '{"n":1}', seq: at.seq + 1 }) });
    assert.deepEqual(page.recovery.position('news'), at);
    publish(fake, 'news', 1);
    page.pusher.connect();
    await page.joined('news');
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1]);
  });

  const answers = {
    'a head behind it': { position: { epoch: 'fakeEp0001', seq: 1 } },
    'a head ahead of it, and no word of recovery': { position: { epoch: 'fakeEp0001', seq: 9 } },
    'a replay from beyond it': { position: { epoch: 'fakeEp0001', seq: 3 }, recovered: true, replayed: 6 },
    'no reason': { position: { epoch: 'fakeEp0001', seq: 2 }, recovered: false },
  };
  for (const [what, answer] of Object.entries(answers)) {
    it(`believes no answer that proves nothing: ${what}`, async (t) => {
      const fake = await Fake.start(t);
      const page = Page.open(t, fake);
      await page.join('news');
      publish(fake, 'news', 1, 2);
      await page.settled('news');
      fake.script('news', (line) => line.send({ event: 'pusher_internal:subscription_succeeded', channel: 'news', data: '{}', ...answer }));
      await page.reconnect('news');
      assert.deepEqual(page.lost(), [['news', 'unavailable']]);
      assert.deepEqual(page.recovery.position('news'), answer.position);
    });
  }

  const losses = {
    expired: (fake) => (publish(fake, 'news', 3, 4, 5), fake.trim('news', 1)),
    epoch: (fake) => fake.restart('news', { seq: 7 }),
    ahead: (fake) => fake.set('news', fake.position('news').epoch, 1),
    too_many: (fake) => ((fake.recoverEvents = 2), publish(fake, 'news', 3, 4, 5)),
    unavailable: (fake) => (fake.unavailable = true),
  };
  for (const [reason, lose] of Object.entries(losses)) {
    it(`is told once when what it missed cannot be had: ${reason}`, async (t) => {
      const fake = await Fake.start(t);
      const page = Page.open(t, fake);
      await page.join('news');
      publish(fake, 'news', 1, 2);
      await page.settled('news');
      fake.drop();
      lose(fake);
      await page.joined('news');
      fake.unavailable = false;
      publish(fake, 'news', 100);
      await page.settled('news');
      assert.deepEqual(numbers(page, 'news'), [1, 2, 100]);
      assert.deepEqual(page.lost(), [['news', reason]]);
      const told = page.order.indexOf(`gap news ${reason}`);
      assert.match(page.order[told + 1], /^pusher:subscription_succeeded/, 'the gap is told before the success');

      await page.reconnect('news');
      publish(fake, 'news', 101);
      await page.settled('news');
      assert.deepEqual(page.lost(), [['news', reason]], 'the next outage is no loss');
      assert.deepEqual(page.recovery.position('news'), fake.position('news'));
    });
  }

  it('is told for every outage of a channel without history', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('off-news');
    publish(fake, 'off-news', 1);
    await page.settled('off-news');
    assert.equal(page.recovery.position('off-news'), null);
    assert.deepEqual(page.lost(), []);
    await page.reconnect('off-news');
    await page.reconnect('off-news');
    assert.deepEqual(page.lost(), [['off-news', 'off'], ['off-news', 'off']]);
  });

  it('is told for every outage by a server that knows no positions', async (t) => {
    const fake = await Fake.start(t, { stock: true });
    const page = Page.open(t, fake);
    await page.join('news');
    await page.reconnect('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1]);
    assert.deepEqual(page.lost(), [['news', 'off']]);
  });

  it('is told when a server that knows positions gives way to one that does not', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    fake.stock = true;
    await page.reconnect('news');
    assert.deepEqual(page.lost(), [['news', 'off']]);
    assert.equal(page.recovery.position('news'), null);
  });

  it('recovers many channels of every kind at once', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    const names = ['news', 'private-a', 'presence-a', 'private-encrypted-a', 'cache-x', 'private-cache-x', 'presence-cache-x'];
    for (const name of names) page.subscribe(name);
    for (const name of names) await page.joined(name);
    const say = (n) => names.forEach((name) =>
      fake.publish(name, 'tick', name.includes('encrypted') ? seal({ n }) : { n }));
    say(1);
    for (const name of names) await page.hears('tick', name);
    fake.drop();
    say(2);
    fake.restart('private-a');
    for (const name of names) await page.joined(name);
    say(3);
    await page.settled(names.at(-1));
    for (const name of names) {
      assert.deepEqual(numbers(page, name), name === 'private-a' ? [1, 3] : [1, 2, 3], name);
      assert.deepEqual(page.recovery.position(name), fake.position(name), name);
    }
    assert.deepEqual(page.lost(), [['private-a', 'epoch']]);
    assert.equal(page.pusher.channel('presence-a').members.count, 1);
    assert.equal(page.heard('pusher:cache_miss', 'cache-x').length, 1, 'at the first join only');
  });

  it('is the user it was: events to the user come too', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    const heard = [];
    page.pusher.user.bind('notice', ({ n }) => heard.push(n));
    const mine = '#server-to-user-7';
    await page.join('news');
    page.pusher.signin();
    await fake.hears(mine);
    await page.settled('news');
    fake.publish(mine, 'notice', { n: 1 });
    fake.drop();
    fake.publish(mine, 'notice', { n: 2 });
    await fake.hears(mine);
    await page.settled('news');
    assert.deepEqual(heard, [1, 2]);
    assert.deepEqual(page.lost(), []);
  });
});

describe('a page that stays', () => {
  it('hears of a new epoch once', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    publish(fake, 'news', 1);
    fake.restart('news', { tell: true });
    publish(fake, 'news', 2);
    await page.settled('news');
    await page.reconnect('news');
    assert.deepEqual(numbers(page, 'news'), [1, 2]);
    assert.deepEqual(page.lost(), [['news', 'epoch']]);
  });

  it('hears of a loss by whatever name, and of an epoch that changed without a word', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    const tell = (position, reason) =>
      page.raw({ event: 'pusher_internal:position', channel: 'news', data: '{}', position, reason });
    tell({ epoch: 'otherEpo', seq: 1 });
    tell({ epoch: 'otherEpo', seq: 4 }, 'tomorrow');
    assert.deepEqual(page.lost(), [['news', 'epoch'], ['news', 'tomorrow']]);
    assert.deepEqual(page.recovery.position('news'), { epoch: 'otherEpo', seq: 4 });
  });

  it('hears a cached event without moving', async (t) => {
    const fake = await Fake.start(t);
    publish(fake, 'cache-x', 1, 2);
    const page = Page.open(t, fake);
    await page.join('cache-x');
    await page.settled('cache-x');
    assert.deepEqual(numbers(page, 'cache-x'), [2]);
    await page.reconnect('cache-x');
    await page.settled('cache-x');
    assert.deepEqual(numbers(page, 'cache-x'), [2], 'recovered: no cached event');
    assert.deepEqual(page.recovery.position('cache-x'), fake.position('cache-x'));
  });

  it('drops what comes twice', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    publish(fake, 'news', 1, 2);
    await page.settled('news');
    let messages = 0;
    page.pusher.connection.bind('message', () => messages++);
    for (const seq of [1, 2]) page.raw({ event: 'tick', channel: 'news', data: `{"n":${seq}}`, seq });
    assert.equal(messages, 0, 'nobody is handed a duplicate');
    publish(fake, 'news', 3);
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1, 2, 3]);
  });

  it('closes a hole without a word to the application', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('presence-a');
    publish(fake, 'presence-a', 1);
    await page.settled('presence-a');
    const [line] = fake.lines;
    line.channels.delete('presence-a'); // the server forgets the page for two events
    publish(fake, 'presence-a', 2, 3);
    line.channels.add('presence-a');
    publish(fake, 'presence-a', 4);
    await page.joined('presence-a');
    publish(fake, 'presence-a', 5);
    await page.settled('presence-a');
    assert.deepEqual(numbers(page, 'presence-a'), [1, 2, 3, 4, 5]);
    assert.deepEqual(page.lost(), []);
  });

  it('is told once of a hole that does not close', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    const { epoch } = fake.position('news');
    fake.set('news', epoch, 5); // 1 to 5 were never kept
    publish(fake, 'news', 6);
    await page.joined('news');
    publish(fake, 'news', 7);
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [7]);
    assert.deepEqual(page.lost(), [['news', 'expired']]);
  });

  it('does not ask for ever when the server says recovered and leaves the hole', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    let asked = 0;
    fake.script('news', (line, { recover }) => {
      asked++;
      const position = recover ? { epoch: recover.epoch, seq: recover.seq } : { epoch: 'fakeEp9999', seq: 10 };
      const success = { event: 'pusher_internal:subscription_succeeded', channel: 'news', data: '{}', position };
      line.channels.add('news');
      line.send({ ...success, ...(recover && { recovered: true, replayed: 1 }) });
      line.send({ event: 'tick', channel: 'news', data: '{"n":13}', seq: 13 });
    });
    await page.join('news');
    await page.hears('tick', 'news');
    await page.settled('news');
    assert.equal(asked, 2);
    assert.deepEqual(page.lost(), [['news', 'unavailable']]);
    assert.deepEqual(page.recovery.position('news'), { epoch: 'fakeEp9999', seq: 13 });
  });

  it('moves past an event whose handler throws', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    const channel = await page.join('news');
    const { epoch } = page.recovery.position('news');
    fake.set('news', epoch, 1);
    const fail = ({ n }) => {
      assert.deepEqual(page.recovery.position('news'), { epoch, seq: 1 }, 'the handler sees the position of its event');
      throw new Error(`no ${n}`);
    };
    channel.bind('tick', fail);
    assert.throws(() => page.raw({ event: 'tick', channel: 'news', data: '{"n":1}', seq: 1 }), /no 1/);
    channel.unbind('tick', fail);
    publish(fake, 'news', 2);
    await page.reconnect('news');
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1, 2]);
    assert.deepEqual(page.lost(), []);
  });

  it('is handed the success even when onGap throws', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake, { recovery: { onGap: () => { throw new Error('not now'); } } });
    const channel = await page.join('news');
    channel.subscribed = false;
    const position = { epoch: 'fakeEp9999', seq: 3 };
    assert.throws(() => page.raw({
      event: 'pusher_internal:subscription_succeeded', channel: 'news', data: '{}', position, recovered: false, reason: 'expired',
    }), /not now/);
    assert.equal(channel.subscribed, true);
    assert.deepEqual(page.recovery.position('news'), position);
  });

  it('lives with frames that are no frames', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    const at = page.recovery.position('news');
    const errors = [];
    page.pusher.connection.bind('error', ({ type }) => errors.push(type));
    page.pusher.connection.connection.transport.emit('message', { data: '{"event":' });
    assert.deepEqual(errors, ['MessageParseError'], 'pusher-js still says so itself');
    for (const seq of ['1', 1.5, -1, null, 2 ** 53]) page.raw({ event: 'odd', channel: 'news', data: '{}', seq });
    for (const position of [null, 7, {}, { epoch: 'x' }, { epoch: 'x', seq: '1' }]) {
      page.raw({ event: 'pusher_internal:position', channel: 'news', data: '{}', position });
    }
    assert.deepEqual(page.recovery.position('news'), at);
    assert.deepEqual(page.lost(), []);
  });

  it('knows that the line lives when all it hears are duplicates', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    const { activityTimer } = page.pusher.connection;
    page.raw({ event: 'tick', channel: 'news', data: '{"n":1}', seq: 1 });
    assert.notEqual(page.pusher.connection.activityTimer, activityTimer);
  });
});

describe('unsubscribe', () => {
  it('forgets the position: a later subscribe begins anew', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    await fake.hears('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    page.pusher.unsubscribe('news');
    assert.equal(page.recovery.position('news'), null);
    await fake.hears('news', 'pusher:unsubscribe');
    publish(fake, 'news', 2);
    await page.join('news');
    assert.equal((await fake.hears('news')).recover, undefined);
    publish(fake, 'news', 3);
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1, 3]);
    assert.deepEqual(page.lost(), []);
  });

  it('forgets it while the page is offline', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    await fake.hears('news');
    page.pusher.disconnect();
    page.pusher.unsubscribe('news');
    page.pusher.connect();
    await page.join('news');
    assert.equal((await fake.hears('news')).recover, undefined);
    assert.deepEqual(page.lost(), []);
  });

  it('forgets it while the answer is on the way, also when the page changes its mind', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    let held;
    fake.script('news', (line, data) => (held = () => fake.subscribe(line, data)));
    fake.drop();
    publish(fake, 'news', 2);
    await fake.hears('news');
    assert.ok((await fake.hears('news')).recover);
    page.pusher.unsubscribe('news');
    page.pusher.subscribe('news'); // pusher-js sends nothing: the answer to come is for this one
    held();
    await page.joined('news');
    publish(fake, 'news', 3);
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1, 3], 'what was missed before the new subscribe is not for it');
    assert.deepEqual(page.recovery.position('news'), fake.position('news'));
    assert.deepEqual(page.lost(), []);
  });

  it('while a hole is being closed leaves nothing behind', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    await page.join('news');
    await fake.hears('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    const held = [];
    fake.script('news', (line, data) => held.push(() => fake.subscribe(line, data)));
    const [line] = fake.lines;
    line.channels.delete('news');
    publish(fake, 'news', 2, 3);
    line.channels.add('news');
    publish(fake, 'news', 4);
    assert.equal((await fake.hears('news')).recover.seq, 1);
    page.pusher.unsubscribe('news');
    page.subscribe('news');
    assert.equal((await fake.hears('news')).recover, undefined);
    for (const answer of held) answer();
    await page.joined('news');
    publish(fake, 'news', 5);
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1, 5], 'the answer to the former subscription is not for the new one');
    assert.deepEqual(page.recovery.position('news'), fake.position('news'));
    assert.deepEqual(page.lost(), []);
  });

  it('on the channel itself forgets as well', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    const channel = await page.join('news');
    await fake.hears('news');
    channel.unsubscribe();
    assert.equal(page.recovery.position('news'), null);
    channel.subscribe();
    assert.equal((await fake.hears('news')).recover, undefined);
  });
});

describe('installation', () => {
  it('on a connected page without subscriptions works from then on', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake, { recovery: null });
    await page.online();
    page.recover({});
    await page.join('news');
    fake.drop();
    publish(fake, 'news', 1);
    await page.joined('news');
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1]);
    assert.deepEqual(page.lost(), []);
  });

  it('too late for a subscription tells of the next outage', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake, { recovery: null });
    await page.join('news');
    page.recover({});
    publish(fake, 'news', 1);
    await page.settled('news');
    await page.reconnect('news');
    assert.deepEqual(page.lost(), [['news', 'unavailable']]);
    await page.reconnect('news');
    assert.equal(page.lost().length, 1, 'from then on the position is known');
  });

  it('works when another handler of connected throws', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake, { recovery: null });
    const seen = [];
    const { connection } = page.pusher;
    const { emit } = connection;
    // The exception ends where a browser would report it.
    connection.emit = (...args) => {
      try {
        return emit.apply(connection, args);
      } catch (err) {
        return seen.push(err.message);
      }
    };
    connection.bind('connected', () => { throw new Error('mine'); });
    page.recover({});
    await page.join('news');
    await page.reconnect('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    assert.deepEqual(seen, ['mine', 'mine']);
    assert.deepEqual(page.recovery.position('news'), fake.position('news'));
    assert.deepEqual(page.lost(), []);
  });

  it('stops: pusher-js is as it was', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    const { send_event: wrapped } = page.pusher;
    await page.join('news');
    await fake.hears('news');
    const { transport } = page.pusher.connection.connection;
    const emit = transport.emit;
    transport.emit = (...args) => emit.apply(transport, args); // somebody else, over it
    page.recovery.stop();
    page.recovery.stop();
    assert.notEqual(page.pusher.send_event, wrapped);
    page.raw({ event: 'tick', channel: 'news', data: '{"n":9}', seq: 90 });
    assert.deepEqual(numbers(page, 'news'), [9]);
    assert.equal(page.recovery.position('news').seq, 0);
    await page.reconnect('news');
    assert.equal((await fake.hears('news')).recover, undefined);
    page.recover({});
  });

  it('refuses what it does not know, and a second time', async (t) => {
    const fake = await Fake.start(t);
    const page = Page.open(t, fake);
    assert.throws(() => page.recover({}), /has it already/);
    for (const wrong of [undefined, null, {}, { connector: {} }, { key: 'k', send_event() {}, unsubscribe() {}, allChannels() {} }]) {
      assert.throws(() => page.recover.call({ pusher: wrong }, {}), /is missing; it takes a Pusher of pusher-js 8/);
    }
    await page.online();
    page.recovery.stop();
    const { connection } = page.pusher.connection;
    const { transport } = connection;
    connection.transport = { send() {} };
    assert.throws(() => page.recover({}), /transport\.emit is missing/);
    connection.transport = transport;
    page.recover({});
  });

  it('says so when the line is not as it knows it, and leaves the rest to pusher-js', () => {
    const sent = [];
    const bound = {};
    const pusher = {
      key: 'k',
      send_event: (...frame) => sent.push(frame),
      unsubscribe() {},
      allChannels: () => [],
      connection: { bind: (event, handler) => (bound[event] = handler), unbind() {}, connection: null },
    };
    const recovery = holdfastRecovery(pusher, { storage: null });
    pusher.connection.connection = { transport: { send() {} } };
    assert.throws(bound.connected, /pusher\.connection\.connection\.transport\.emit is missing/);
    pusher.send_event('pusher:subscribe', { auth: '', channel: 'news' });
    assert.deepEqual(sent, [['pusher:subscribe', { auth: '', channel: 'news' }]]);
    recovery.stop();
  });
});
