import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stage } from '../harness/backend.mjs';
import { CLOSED, Server } from '../harness/server.mjs';
import { Tab, hasGivenUp } from '../harness/tab.mjs';

describe('connection', () => {
  const edge = stage();

  it('is established with a socket id and an activity timeout', async (t) => {
    // The page would wait longer; the shorter of the two is in force.
    const tab = Tab.open(t, edge.server, { activityTimeout: 600_000 });
    const socketId = await tab.online();
    assert.match(socketId, /^\d+\.\d+$/);
    const { activityTimeout } = tab.pusher.connection;
    assert.ok(activityTimeout >= 110_000 && activityTimeout <= 120_000, `activity timeout ${activityTimeout} ms`);
  });

  it('gives every connection another socket id', async (t) => {
    const tabs = Array.from({ length: 20 }, () => Tab.open(t, edge.server));
    const ids = await Promise.all(tabs.map((tab) => tab.online()));
    assert.equal(new Set(ids).size, ids.length);
  });

  it('answers the ping of the protocol', async (t) => {
    const tab = Tab.open(t, edge.server);
    await tab.online();
    tab.pusher.send_event('pusher:ping', {});
    await tab.frames.next('pusher:pong');
  });

  it('pings when the page has been silent, and the page is answered', async (t) => {
    // The page asks for a shorter silence than the server advertises.
    const tab = Tab.open(t, edge.server, { activityTimeout: 300, pongTimeout: 5_000 });
    await tab.online();
    await tab.frames.next('pusher:pong');
    await tab.frames.next('pusher:pong');
    assert.equal(tab.pusher.connection.state, 'connected');
  });

  it('answers a wrong key with 4001, after which the page stays away', async (t) => {
    const tab = Tab.open(t, edge.server, { app: { key: 'no-such-key' } });
    await tab.errors.next(4001);
    await tab.states.next('disconnected');
    assert.ok(hasGivenUp(tab));
  });

  it('answers a disabled application with 4003, after which the page stays away', async (t) => {
    const tab = Tab.open(t, edge.server, { app: CLOSED });
    await tab.errors.next(4003);
    await tab.states.next('disconnected');
    assert.ok(hasGivenUp(tab));
  });

  it('keeps a connection that sent what is no message', async (t) => {
    const tab = Tab.open(t, edge.server);
    await tab.online();
    tab.pusher.connection.connection.transport.send('not json');
    await tab.errors.next(4200);
    await tab.settled();
    assert.equal(tab.pusher.connection.state, 'connected');
  });

  it('is closed with 4200 when the server is asked to stop', async (t) => {
    const other = await Server.start(t);
    const tab = Tab.open(t, other);
    await tab.online();
    const exit = await other.terminate();
    await tab.errors.next(4200);
    assert.equal(exit.code, 0, other.log);
  });
});
