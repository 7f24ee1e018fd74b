// Proxy is the network between a page and the server: a TCP relay that can lose the
// page in every way in which networks do.

import { connect, createServer } from 'node:net';

const AGAIN = 20; // ms between two attempts to reach a server that does not listen

export class Proxy {
  // lines: {near, far, left}: the page's socket, the server's, and how many bytes the
  // page is still given.
  #lines = new Set();
  #server;
  #held = null; // lines that wait for release()

  static async start(t, server) {
    const proxy = new Proxy();
    proxy.#server = server;
    const listener = createServer((near) => proxy.#accept(near));
    await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
    proxy.port = listener.address().port;
    t.after(() => {
      listener.close();
      for (const line of proxy.#lines) proxy.#destroy(line);
    });
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  // cut loses every line of now. Later ones are good.
  //   rst      both ends are reset
  //   fin      both ends are closed in order
  //   silence  nothing is forwarded any more, and nobody is told
  cut(how) {
    for (const line of this.#lines) this.#cut(line, how);
  }

  #cut(line, how) {
    line.left = 0;
    for (const socket of [line.near, line.far]) {
      if (how === 'rst') socket?.resetAndDestroy();
      else if (how === 'fin') socket?.end();
    }
    if (how === 'silence') line.silent = true;
  }

  // tear resets every line of now in the middle of a frame: after so many bytes more.
  tear(bytes) {
    for (const line of this.#lines) line.left = bytes;
  }

  // stall reads nothing more from the server until goOn(): its sockets fill up.
  stall() {
    for (const line of this.#lines) line.far?.pause();
  }

  goOn() {
    for (const line of this.#lines) line.far?.resume();
  }

  // hold accepts new lines and leaves them unanswered until release().
  hold() {
    this.#held = [];
  }

  release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const line of held) this.#dial(line);
  }

  #accept(near) {
    const line = { near, far: null, left: Infinity, silent: false };
    this.#lines.add(line);
    near.pause();
    near.on('error', () => {});
    near.on('close', () => this.#destroy(line));
    if (this.#held) this.#held.push(line);
    else this.#dial(line);
  }

  // dial goes on until the server listens: a page waits in the network and not for its
  // own next attempt, which would be many seconds away.
  #dial(line) {
    if (line.near.destroyed) return;
    const { near } = line;
    const far = connect(this.#server.port, '127.0.0.1');
    let connected = false;
    far.on('connect', () => {
      connected = true;
      line.far = far;
      near.on('data', (bytes) => line.silent || far.write(bytes));
      near.on('end', () => line.silent || far.end());
      near.resume();
    });
    far.on('data', (bytes) => this.#down(line, bytes));
    far.on('end', () => line.silent || near.end());
    far.on('error', () => {});
    far.on('close', () => {
      if (!connected) setTimeout(() => this.#dial(line), AGAIN);
      else if (!line.silent) near.destroy();
    });
  }

  #down(line, bytes) {
    if (line.silent) return;
    const some = bytes.subarray(0, line.left);
    line.left -= some.length;
    if (some.length) line.near.write(some, () => line.left === 0 && this.#cut(line, 'rst'));
  }

  #destroy(line) {
    this.#lines.delete(line);
    line.near.destroy();
    line.far?.destroy();
  }
}
