// A real page: the minified pusher-js and the recovery in headless Chromium, whose line
// is lost in every way, whose server is killed, and which is reloaded in the middle of
// a stream of events.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Chromium, until } from '../../../../../client/recovery/browser/chromium.mjs';
import { Site } from '../../../../../client/recovery/browser/site.mjs';
import { Backend } from '../harness/backend.mjs';
import { block } from '../harness/docs.mjs';
import { Ledger, Press, whole } from '../harness/press.mjs';
import { Proxy } from '../harness/proxy.mjs';
import { APP, Server } from '../harness/server.mjs';

describe('a page in Chromium', { concurrency: true }, () => {
  it('misses nothing when its line is cut, the server is killed, and it is reloaded', async (t) => {
    const browser = await Chromium.start();
    t.after(() => browser.close());
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const proxy = await Proxy.start(t, server);
    const site = await Site.start(t, browser);
    const channels = ['news', 'cache-prices'];
    const page = await site.open({ key: APP.key, host: '127.0.0.1', port: proxy.port, channels, silence: 400 });
    await page.joined();
    const ledgers = channels.map((channel) => new Ledger('Chromium', channel));
    const press = new Press(backend, channels);

    // goesOn waits until the page shows events that are not published yet.
    const goesOn = async () => {
      for (const channel of channels) {
        const n = press.last.get(channel) + 3;
        await until(async () => (await page.ticks(channel)).some((shown) => shown >= n), `tick ${n} on ${channel}`);
      }
    };
    // file takes over what the page was told, for a page that is about to be left.
    const file = async () => {
      for (const [what, channel, n, data] of await page.log()) {
        const ledger = ledgers[channels.indexOf(channel)];
        if (what === 'tick') ledger.event(data);
        if (what === 'gap') ledger.gap(n);
      }
    };

    press.start();
    for (const how of ['rst', 'fin', 'silence']) {
      await goesOn();
      proxy.cut(how);
      await goesOn();
    }
    await server.kill();
    await server.run();
    await goesOn();
    for (let i = 0; i < 2; i++) {
      // No event may come between the last look and the reload.
      await page.evaluate('pusher.disconnect()');
      await file();
      await page.reload();
      await goesOn();
    }
    await press.stop();
    for (const channel of channels) await page.shows(channel, press.last.get(channel));
    await file();
    channels.forEach((channel, i) => {
      const last = press.last.get(channel);
      assert.deepEqual(ledgers[i].verdict(1, last), whole(last), channel);
    });
  });

  // EventSource waits for 1 to 5 s, as it is told, before it comes back.
  it('with the EventSource of the documentation misses nothing either', async (t) => {
    const browser = await Chromium.start();
    t.after(() => browser.close());
    const server = await Server.start(t);
    const backend = await Backend.start(t, server);
    const proxy = await Proxy.start(t, server);
    const site = await Site.start(t, browser);
    const page = await site.open({ key: APP.key, host: '127.0.0.1', port: proxy.port, channels: ['unused'] });
    await page.joined();
    const channels = ['news', 'orders'];
    const press = new Press(backend, channels);
    const ledgers = channels.map((channel) => new Ledger('EventSource', channel));
    await page.evaluate(`${block('docs/recovery.md', 'js', 'new EventSource')}
      window.told = [];
      window.source = follow('${proxy.url}/app/${APP.key}/sse?channel=news&channel=orders',
        (channel, event, data) => told.push([channel, data]), (channel, reason) => told.push([channel, null, reason]));
      new Promise((resolve) => source.addEventListener('open', resolve))`);
    const goesOn = async () => {
      for (const channel of channels) {
        const n = press.last.get(channel) + 3;
        await until(() => page.evaluate(`told.some(([channel, data]) => channel === '${channel}' && data?.n >= ${n})`), `${n} on ${channel}`);
      }
    };

    press.start();
    await goesOn();
    proxy.cut('rst');
    await goesOn();
    const exit = await server.terminate();
    assert.deepEqual([exit.code, exit.signal], [0, null], server.log);
    await server.run();
    await goesOn();
    await press.stop();
    for (const channel of channels) {
      await until(() => page.evaluate(`told.some(([channel, data]) => channel === '${channel}' && data?.n === ${press.last.get(channel)})`), 'the last event');
    }
    for (const [channel, data, reason] of await page.evaluate('told')) {
      const ledger = ledgers[channels.indexOf(channel)];
      if (data) ledger.event(data);
      else ledger.gap(reason);
    }
    channels.forEach((channel, i) => {
      const last = press.last.get(channel);
      assert.deepEqual(ledgers[i].verdict(1, last), whole(last), channel);
    });
  });
});
