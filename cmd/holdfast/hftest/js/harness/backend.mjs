// Backend is the application behind the pages: an HTTP server with the two
// authorization endpoints, made with the stock server SDK, and the SDK itself.

import { createServer } from 'node:http';
import { after, before } from 'node:test';
import Pusher from 'pusher';
import { APP, Server } from './server.mjs';

// 32 bytes; the server never sees it.
const MASTER_KEY = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64');

let marks = 0;

export class Backend {
  // sdk is the stock server SDK for the application.
  sdk;
  // requests lists what the pages asked for: {path, user, channel}.
  requests = [];

  static async start(t, server, app = APP) {
    const backend = new Backend();
    backend.app = app;
    backend.sdk = sdkFor(server, app);
    const http = createServer((req, res) => {
      backend.#answer(req, res).catch((err) => res.writeHead(500).end(String(err)));
    });
    await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
    backend.url = `http://127.0.0.1:${http.address().port}`;
    t.after(() => {
      http.closeAllConnections();
      http.close();
    });
    return backend;
  }

  // mark publishes one event with a number of its own, and returns the number. A
  // page that has received it has received everything published before.
  async mark(channel) {
    const id = ++marks;
    await this.sdk.trigger(channel, 'mark', { id });
    return id;
  }

  // authorize signs for a channel.
  authorize(socketId, channel, user) {
    const member = channel.startsWith('presence-') && { user_id: user, user_info: { name: user.toUpperCase() } };
    return this.sdk.authorizeChannel(socketId, channel, member || undefined);
  }

  async #answer(req, res) {
    let body = '';
    for await (const chunk of req) {
      body += chunk;
    }
    const form = new URLSearchParams(body);
    const socketId = form.get('socket_id');
    const channel = form.get('channel_name');
    const user = req.headers['x-user'];
    this.requests.push({ path: req.url, user, channel });

    const json = (value) => res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    if (req.url.endsWith('/user-auth')) {
      json(this.sdk.authenticateUser(socketId, userData(req)));
    } else if (channel.includes('forbidden')) {
      res.writeHead(403).end('{}');
    } else {
      const answer = this.authorize(socketId, channel, user);
      if (channel.includes('forged')) {
        answer.auth = `${this.app.key}:${'0'.repeat(64)}`;
      }
      json(answer);
    }
  }
}

// userData is who signs in; X-Watchlist names the users to be watched.
function userData(req) {
  const data = { id: req.headers['x-user'], user_info: { name: req.headers['x-user'].toUpperCase() } };
  if (req.headers['x-watchlist']) {
    data.watchlist = req.headers['x-watchlist'].split(',');
  }
  return data;
}

export function sdkFor(server, app, options = {}) {
  return new Pusher({
    ...app,
    host: '127.0.0.1',
    port: String(server.port),
    useTLS: false,
    timeout: 10_000,
    encryptionMasterKeyBase64: MASTER_KEY,
    ...options,
  });
}

// stage gives the suite it is called in a server and a backend of its own; they
// are there once the first test runs, and end with the suite.
export function stage(app = APP, options = {}) {
  const edge = {};
  const ends = [];
  const t = { after: (end) => ends.unshift(end) };
  before(async () => {
    edge.server = await Server.start(t, options);
    edge.backend = await Backend.start(t, edge.server, app);
  });
  after(async () => {
    for (const end of ends) {
      await end();
    }
  });
  return edge;
}
