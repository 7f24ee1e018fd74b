import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fake } from '../harness/fake.mjs';
import { Page, Storage } from '../harness/page.mjs';

const NAME = 'holdfast:app-key';
const numbers = (page, channel) => page.heard('tick', channel).map(({ n }) => n);
const publish = (fake, channel, ...ns) => ns.forEach((n) => fake.publish(channel, 'tick', { n }));
const rowsOf = (storage, name = NAME) => JSON.parse(storage.getItem(name));

describe('a reload', () => {
  it('goes on where the page was, without a socket id: the page that caused events is gone', async (t) => {
    const fake = await Fake.start(t);
    const storage = new Storage();
    const before = Page.open(t, fake, { recovery: { storage } });
    await before.join('news');
    await fake.hears('news');
    publish(fake, 'news', 1);
    await before.settled('news');
    const at = fake.position('news');
    const except = before.pusher.connection.socket_id;
    before.close();
    assert.deepEqual(rowsOf(storage), [['news', at.epoch, at.seq]]);
    fake.publish('news', 'tick', { n: 2 }, { except });
    publish(fake, 'news', 3);

    const after = Page.open(t, fake, { recovery: { storage } });
    assert.deepEqual(after.recovery.position('news'), at);
    await after.join('news');
    await after.settled('news');
    assert.deepEqual((await fake.hears('news')).recover, at);
    assert.deepEqual(numbers(after, 'news'), [2, 3]);
    assert.deepEqual(after.lost(), []);
  });

  it('tells what cannot be had', async (t) => {
    const fake = await Fake.start(t);
    const storage = new Storage();
    const before = Page.open(t, fake, { recovery: { storage } });
    await before.join('news');
    before.close();
    fake.restart('news');
    const after = Page.open(t, fake, { recovery: { storage } });
    await after.join('news');
    assert.deepEqual(after.lost(), [['news', 'epoch']]);
  });

  it('does not bring back what the application had left', async (t) => {
    const fake = await Fake.start(t);
    const storage = new Storage();
    const before = Page.open(t, fake, { recovery: { storage } });
    await before.join('news');
    await before.join('other');
    await fake.hears('news');
    before.pusher.unsubscribe('news');
    before.close();
    assert.deepEqual(rowsOf(storage).map(([channel]) => channel), ['other']);
    const after = Page.open(t, fake, { recovery: { storage } });
    await after.join('news');
    assert.equal((await fake.hears('news')).recover, undefined);
  });

  it('too early for the write finds the position: pagehide does not wait', async (t) => {
    const target = new EventTarget();
    const calls = [];
    for (const verb of ['addEventListener', 'removeEventListener']) {
      globalThis[verb] = (...args) => (calls.push(verb), target[verb](...args));
      t.after(() => delete globalThis[verb]);
    }
    const fake = await Fake.start(t);
    const storage = new Storage();
    const page = Page.open(t, fake, { recovery: { storage } });
    await page.join('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    target.dispatchEvent(new Event('pagehide'));
    const { epoch, seq } = fake.position('news');
    assert.deepEqual(rowsOf(storage), [['news', epoch, seq]]);
    const { writes } = storage;
    target.dispatchEvent(new Event('pagehide'));
    assert.equal(storage.writes, writes, 'nothing new, no write');
    page.recovery.stop();
    page.raw({ event: 'tick', channel: 'news', data: '{}', seq: seq + 1 });
    target.dispatchEvent(new Event('pagehide'));
    assert.equal(storage.writes, writes, 'stopped');
    assert.equal(calls.at(-1), 'removeEventListener');
  });
});

describe('the storage', () => {
  it('is the sessionStorage where there is one', async (t) => {
    const storage = new Storage();
    Object.defineProperty(globalThis, 'sessionStorage', { value: storage, configurable: true });
    t.after(() => delete globalThis.sessionStorage);
    const fake = await Fake.start(t);
    const page = Page.open(t, fake, { recovery: { storage: undefined } });
    await page.join('news');
    page.close();
    assert.equal(rowsOf(storage).length, 1);
  });

  it('is not looked at when null is given', async (t) => {
    Object.defineProperty(globalThis, 'sessionStorage', { get: () => assert.fail('touched'), configurable: true });
    t.after(() => delete globalThis.sessionStorage);
    const fake = await Fake.start(t);
    const page = Page.open(t, fake, { recovery: { storage: null } });
    await page.join('news');
    await page.reconnect('news');
    assert.deepEqual(page.lost(), []);
  });

  it('that may not be touched costs nothing', async (t) => {
    Object.defineProperty(globalThis, 'sessionStorage', {
      get: () => { throw new DOMException('denied', 'SecurityError'); },
      configurable: true,
    });
    t.after(() => delete globalThis.sessionStorage);
    const fake = await Fake.start(t);
    const page = Page.open(t, fake, { recovery: { storage: undefined } });
    await page.join('news');
    await page.reconnect('news');
    assert.deepEqual(page.lost(), []);
  });

  it('is written now and then, not for every event', async (t) => {
    const fake = await Fake.start(t);
    const storage = new Storage();
    const page = Page.open(t, fake, { recovery: { storage } });
    await page.join('news');
    for (let n = 0; n < 50; n++) publish(fake, 'news', n);
    await page.settled('news');
    assert.ok(storage.writes <= 2, `${storage.writes} writes for 50 events at once`);
    const deadline = Date.now() + 5000;
    while (rowsOf(storage)?.[0]?.[2] !== 50) {
      assert.ok(Date.now() < deadline, 'written by itself');
      await sleep(20);
    }
  });

  it('that fails costs the reload, never a frame', async (t) => {
    const fake = await Fake.start(t);
    const storage = new Storage();
    storage.broken = true;
    const page = Page.open(t, fake, { recovery: { storage } });
    await page.join('news');
    publish(fake, 'news', 1);
    await page.settled('news');
    const { writes } = storage;
    await sleep(250);
    assert.ok(storage.writes > writes, 'it was tried');
    fake.drop();
    publish(fake, 'news', 2);
    await page.joined('news');
    await page.settled('news');
    assert.deepEqual(numbers(page, 'news'), [1, 2]);
    assert.deepEqual(page.lost(), []);
    storage.broken = false;
    publish(fake, 'news', 3);
    await page.settled('news');
    page.close();
    assert.equal(rowsOf(storage)[0][2], 3, 'it is tried again');
  });

  for (const text of ['', '{', 'null', '7', '{"news":1}', '[1,null,[],["news"],["news","k3f9Qm2x"],["news","k3f9Qm2x","41"],["news","k3f9Qm2x",-1],[7,"k3f9Qm2x",1]]']) {
    it(`with nonsense in it is as if empty: ${text}`, async (t) => {
      const fake = await Fake.start(t);
      const storage = new Storage();
      storage.setItem(NAME, text);
      const page = Page.open(t, fake, { recovery: { storage } });
      assert.equal(page.recovery.position('news'), null);
      await page.join('news');
      assert.equal((await fake.hears('news')).recover, undefined);
    });
  }

  it('holds a bounded number of channels, the last moved', async (t) => {
    const fake = await Fake.start(t);
    const storage = new Storage();
    storage.setItem(NAME, JSON.stringify(Array.from({ length: 1500 }, (_, n) => [`old-${n}`, 'k3f9Qm2x', n])));
    const page = Page.open(t, fake, { recovery: { storage } });
    assert.equal(page.recovery.position('old-499'), null);
    assert.deepEqual(page.recovery.position('old-500'), { epoch: 'k3f9Qm2x', seq: 500 });
    await page.join('news');
    await page.join('old-500');
    page.close();
    const rows = rowsOf(storage);
    assert.equal(rows.length, 1000);
    assert.deepEqual(rows.slice(-2).map(([channel]) => channel), ['news', 'old-500']);
  });
});

describe('two of them', () => {
  it('tabs do not touch each other', async (t) => {
    const fake = await Fake.start(t);
    const storages = [new Storage(), new Storage()];
    const [one, two] = storages.map((storage) => Page.open(t, fake, { recovery: { storage } }));
    await one.join('news');
    await two.join('news');
    publish(fake, 'news', 1);
    await one.settled('news');
    await two.settled('news');
    two.close();
    publish(fake, 'news', 2);
    await one.settled('news');
    one.close();
    const back = storages.map((storage) => Page.open(t, fake, { recovery: { storage } }));
    assert.deepEqual(back.map((page) => page.recovery.position('news').seq), [2, 1]);
    for (const page of back) {
      await page.join('news');
      await page.settled('news');
    }
    assert.deepEqual(back.map((page) => numbers(page, 'news')), [[], [2]]);
  });

  it('Pushers on one page keep records of their own', async (t) => {
    const fake = await Fake.start(t);
    const storage = new Storage();
    const open = () => Page.open(t, fake, { recovery: { storage } });
    let [one, two] = [open(), open()];
    await one.join('news');
    await two.join('news');
    two.pusher.disconnect();
    publish(fake, 'news', 1);
    await one.settled('news');
    one.close();
    two.close();
    assert.deepEqual([NAME, `${NAME}:2`].map((name) => rowsOf(storage, name)[0][2]), [1, 0]);
    [one, two] = [open(), open()];
    await one.join('news');
    await two.join('news');
    await two.settled('news');
    assert.deepEqual([numbers(one, 'news'), numbers(two, 'news')], [[], [1]]);
    assert.deepEqual([...one.lost(), ...two.lost()], []);
  });
});
