// Site serves page.html, the recovery and the minified pusher-js, and opens the page in
// tabs of a browser.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { until } from './chromium.mjs';

const here = (path) => new URL(path, import.meta.url);
const FILES = {
  '/': [here('page.html'), 'text/html'],
  '/recovery.js': [here('../recovery.js'), 'text/javascript'],
  '/record.js': [here('../record.js'), 'text/javascript'],
  '/pusher.min.js': [here('../node_modules/pusher-js/dist/web/pusher.min.js'), 'text/javascript'],
};

export class Site {
  #browser;
  #base;

  static async start(t, browser) {
    const site = new Site();
    site.#browser = browser;
    const http = createServer(async (req, res) => {
      const found = FILES[new URL(req.url, 'http://x').pathname];
      if (!found) return res.writeHead(404).end();
      res.writeHead(200, { 'Content-Type': found[1], 'Cache-Control': 'no-store' }).end(await readFile(found[0]));
    });
    await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
    site.#base = `http://127.0.0.1:${http.address().port}`;
    t.after(() => (http.closeAllConnections(), http.close()));
    return site;
  }

  // open is a tab with the page. query: what page.html takes.
  async open({ channels, ...query }) {
    const tab = await this.#browser.tab(`${this.#base}/?${new URLSearchParams({ ...query, channels: channels.join(',') })}`);
    const log = () => tab.evaluate('window.log');
    const ticks = async (channel) => (await log()).filter(([what, name]) => what === 'tick' && name === channel).map(([, , n]) => n);
    return {
      ...tab,
      log,
      ticks,
      gaps: async () => (await log()).filter(([what]) => what === 'gap').map(([, ...gap]) => gap),
      joined: (times = 1) => until(async () => (await log()).filter(([what]) => what === 'joined').length >= channels.length * times, 'subscription'),
      shows: (channel, last) => until(async () => (await ticks(channel)).at(-1) === last, `tick ${last} on ${channel}`),
      socketId: () => tab.evaluate('pusher.connection.socket_id'),
    };
  }
}
