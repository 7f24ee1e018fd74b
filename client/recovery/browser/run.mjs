// The minified pusher-js and the recovery in a real page that is reloaded. Without
// HOLDFAST_ADDR (host:port) it brings a server of its own; with it, events are published
// to that one, as the application of HOLDFAST_APP (id:key:secret).

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { Fake } from '../harness/fake.mjs';
import { Chromium, until } from './chromium.mjs';
import { Site } from './site.mjs';

const [id, key, secret] = (process.env.HOLDFAST_APP ?? 'app-id:app-key:app-secret').split(':');

const ends = [];
const t = { after: (end) => ends.unshift(end) };
let addr = process.env.HOLDFAST_ADDR;

// publish is the HTTP API of Pusher, signed.
async function publish(channel, n, more = {}) {
  const path = `/apps/${id}/events`;
  const body = JSON.stringify({ name: 'tick', channel, data: JSON.stringify({ n }), ...more });
  const query = [
    `auth_key=${key}`, `auth_timestamp=${Math.floor(Date.now() / 1000)}`, 'auth_version=1.0',
    `body_md5=${createHash('md5').update(body).digest('hex')}`,
  ].join('&');
  const signature = createHmac('sha256', secret).update(`POST\n${path}\n${query}`).digest('hex');
  const answer = await fetch(`http://${addr}${path}?${query}&auth_signature=${signature}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body,
  });
  assert.equal(answer.status, 200, await answer.text());
}

async function main() {
  addr ??= `127.0.0.1:${(await Fake.start(t)).port}`;
  const [host, port] = addr.split(':');
  const browser = await Chromium.start();
  t.after(() => browser.close());
  const site = await Site.start(t, browser);
  const open = (channels, more) => site.open({ key, host, port, channels, ...more });
  const run = `${process.pid}-${Date.now()}`; // no channel of an earlier run
  const [news, other] = [`news-${run}`, `other-${run}`];

  const step = (what) => console.log(`ok - ${what}`);
  const page = await open([news, other]);
  await page.joined();
  await publish(news, 1);
  await page.shows(news, 1);
  step('pusher.min.js and the module: an event arrives');

  await page.evaluate('pusher.disconnect()');
  await publish(news, 2);
  await page.evaluate('pusher.connect()');
  await page.shows(news, 2);
  step('away and back: what was missed arrives');

  const socketId = await page.socketId();
  await publish(news, 3, { socket_id: socketId });
  await publish(news, 4);
  await page.shows(news, 4);
  assert.deepEqual(await page.ticks(news), [1, 2, 4]);
  step('what the page caused itself is skipped and makes no gap');

  const stored = await page.evaluate(`recovery.position(${JSON.stringify(news)})`);
  await page.reload(); // at once: only pagehide can have written the position
  await page.joined();
  await publish(news, 5);
  await page.shows(news, 5);
  assert.deepEqual(await page.ticks(news), [5]);
  assert.equal(await page.evaluate(`recovery.position(${JSON.stringify(news)}).epoch`), stored.epoch);
  step('reload: nothing comes twice');

  await page.evaluate('pusher.disconnect()');
  await publish(news, 6);
  await publish(other, 7);
  await page.reload();
  await page.shows(news, 6);
  await page.shows(other, 7);
  assert.deepEqual(await page.ticks(news), [6]);
  step('reload: what was missed meanwhile arrives, on two channels');

  const second = await open([news]);
  await second.joined();
  await publish(news, 8);
  await page.shows(news, 8);
  await second.shows(news, 8);
  assert.deepEqual(await second.ticks(news), [8]);
  assert.notEqual(await second.socketId(), await page.socketId());
  await second.close();
  step('a second tab begins for itself');

  const outer = await open([news], { frame: news });
  await outer.joined();
  await until(() => outer.evaluate(`frames[0].log.some(([what]) => what === 'joined')`), 'subscription in the frame');
  await outer.evaluate('frames[0].pusher.disconnect()');
  await publish(news, 81);
  await outer.shows(news, 81);
  await outer.reload();
  await until(() => outer.evaluate(`frames[0].log.some(([what, , n]) => what === 'tick' && n === 81)`), 'tick 81 in the frame');
  await outer.joined();
  assert.deepEqual(await outer.ticks(news), []);
  await outer.close();
  step('a frame goes on where it stood, not where the page around it did');

  await page.evaluate(`Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }`);
  await publish(news, 9);
  await page.shows(news, 9);
  await page.evaluate('pusher.disconnect()');
  await publish(news, 10);
  await page.evaluate('pusher.connect()');
  await page.shows(news, 10);
  assert.deepEqual(await page.ticks(news), [6, 8, 81, 9, 10]);
  step('a full storage disturbs nothing');

  await page.evaluate(`sessionStorage.clear(); pusher.unsubscribe(${JSON.stringify(news)})`);
  assert.equal(await page.evaluate(`recovery.position(${JSON.stringify(news)})`), null);
  assert.deepEqual(await page.gaps(), []);
  step('unsubscribe forgets; no gap was told');

  await page.reload();
  await page.joined();
  const lie = JSON.stringify(JSON.stringify([[news, 'nowhere0', 1]]));
  await page.evaluate(`recovery.stop(); sessionStorage.setItem('holdfast:' + pusher.key, ${lie})`);
  await page.reload();
  await page.joined();
  assert.deepEqual(await page.gaps(), [[news, 'epoch']]);
  step('a position that the server does not know is told as a gap, once');
}

async function end() {
  for (const one of ends.splice(0)) await one();
}

for (const name of ['SIGINT', 'SIGTERM']) {
  process.once(name, () => end().finally(() => process.exit(1)));
}

try {
  await main();
} catch (err) {
  console.error(err);
  process.exitCode = 1;
} finally {
  await end();
}
