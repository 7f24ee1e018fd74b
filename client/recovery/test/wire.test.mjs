// The frames of testdata/frames.json, byte for byte, against a real pusher-js.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { WebSocketServer } from 'ws';
import { Events } from '../harness/events.mjs';
import { Page, Storage } from '../harness/page.mjs';

const vectors = JSON.parse(readFileSync(new URL('../testdata/frames.json', import.meta.url), 'utf8'));

// play is a server that says what a case says, and compares what it is told.
async function play(t, { steps }) {
  const said = new Events('said by the client');
  const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  t.after(() => {
    for (const ws of sockets.clients) ws.terminate();
    sockets.close();
  });
  sockets.on('connection', (ws) => {
    ws.on('message', (text) => said.push('frame', String(text)));
    ws.send(vectors.established);
    said.push('line', ws);
  });
  await new Promise((resolve) => sockets.once('listening', resolve));
  return {
    port: sockets.address().port,
    async through(end) {
      const { data: ws } = await said.next('line');
      for (const { client, server } of steps) {
        if (server) ws.send(server);
        else assert.equal((await said.next('frame')).data, client);
      }
      ws.send(end);
    },
  };
}

// rewinding is an application that asks for the last events by itself.
function rewinding(pusher, rewind) {
  const send = pusher.send_event;
  pusher.send_event = (event, data, channel) =>
    send.call(pusher, event, event === 'pusher:subscribe' ? { ...data, rewind } : data, channel);
}

describe('the wire', () => {
  for (const vector of vectors.cases) {
    it(vector.name, async (t) => {
      const { channel, known } = vector;
      const storage = new Storage();
      if (known) storage.setItem('holdfast:app-key', JSON.stringify([[channel, known.epoch, known.seq]]));
      const server = await play(t, vector);
      const page = Page.open(t, server, { recovery: { storage } });
      if (vector.rewind) rewinding(page.pusher, vector.rewind);
      page.subscribe(channel);

      await server.through(JSON.stringify({ event: 'end', channel, data: '{}' }));
      await page.hears('end', channel);
      const heard = page.told.all().filter(({ event }) => event !== 'end' && event !== 'pusher:subscription_succeeded');
      assert.deepEqual(heard.map(({ event, data }) => [event, data ?? null]), vector.events);
      assert.deepEqual(page.lost(), vector.gaps.map((reason) => [channel, reason]));
      assert.deepEqual(page.recovery.position(channel), vector.position);
    });
  }
});
