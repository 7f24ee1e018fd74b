// A page of a Laravel application: Echo, on one node of a cluster. It writes a line of JSON
// for whatever it hears, and ends with its standard input.
//
//   PORT of the node, AUTH endpoint, USER who the page is

import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { APP } from './server.mjs';

const { PORT, AUTH, USER } = process.env;
const say = (what, data) => process.stdout.write(JSON.stringify({ what, data }) + '\n');

const echo = new Echo({
  broadcaster: 'reverb',
  Pusher,
  key: APP.key,
  wsHost: '127.0.0.1',
  wsPort: Number(PORT),
  forceTLS: false,
  enabledTransports: ['ws'],
  authEndpoint: AUTH,
  auth: { headers: { 'X-User': USER } },
});

let waiting = 3;
const joined = () => { if (--waiting === 0) say('ready'); };
for (const [what, channel] of [['public', echo.channel('orders')], ['private', echo.private(`orders.${USER}`)]]) {
  channel.subscribed(joined).error((status) => say('refused', status));
  channel.listen('OrderShipped', (data) => say(what, data));
}
echo.join('room').here((users) => { say('here', users); joined(); })
  .joining((user) => say('joining', user))
  .leaving((user) => say('leaving', user))
  .error((status) => say('refused', status))
  .listen('OrderShipped', (data) => say('presence', data));

process.stdin.resume().on('end', () => process.exit(0));
