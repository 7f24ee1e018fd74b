/*
 * floor: the least that a server of this protocol can do on Linux, as the yardstick of holdfast's figures.
 *
 *   floor PORT        listens on 127.0.0.1:PORT, one thread, one epoll descriptor, until SIGTERM
 *
 * What arrives decides what is done, so that no connection needs a state:
 *   "GET ..."         a WebSocket upgrade: answered 101 with a right Sec-WebSocket-Accept
 *   "POST ..."        a publish: its body is framed once and written to every subscriber, one write(2) each,
 *                     then answered 200; the connection stays open for the next one
 *   a text frame      a subscribe, whatever it says: answered with one fixed success frame; the socket is a
 *                     subscriber from then on. A client must send one text frame only
 *   any other frame   ignored
 *
 * All that is kept per connection is one int in the list of subscribers. A request must arrive in one piece
 * (the rig sends it with one write); one that does not is answered 400 and closed. A subscriber whose socket
 * is full is closed: it has lost a message, and the rig must see that.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MAX_SUBSCRIBERS = 1 << 20,
	MAX_EVENTS = 256,
	ACCEPTS_PER_WAKE = 64, /* so that a burst of connects does not starve the open sockets */
	INPUT_BYTES = 64 * 1024,
};

static int subscribers[MAX_SUBSCRIBERS]; /* zero pages until touched: 4 bytes a subscriber */
static int subscribed;
static int epoll_fd;
static char input[INPUT_BYTES + 1]; /* one more: strstr needs a terminator */
static unsigned char frame[INPUT_BYTES + 4];

static const char success_text[] =
    "{\"event\":\"pusher_internal:subscription_succeeded\",\"channel\":\"bench\",\"data\":\"{}\","
    "\"position\":{\"epoch\":\"floorfloor00\",\"seq\":0}}"; /* as long as holdfast's */
static unsigned char success_frame[4 + sizeof success_text - 1];
static size_t success_bytes;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- Sec-WebSocket-Accept (RFC 6455 4.2.2): base64 of SHA-1 (FIPS 180-4) of the key and a fixed text ---- */

static uint32_t rotl(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f, k;
		if (i < 20)
			f = (b & c) | (~b & d), k = 0x5a827999;
		else if (i < 40)
			f = b ^ c ^ d, k = 0x6ed9eba1;
		else if (i < 60)
			f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
		else
			f = b ^ c ^ d, k = 0xca62c1d6;
		uint32_t t = rotl(a, 5) + f + e + k + w[i];
		e = d, d = c, c = rotl(b, 30), b = a, a = t;
	}
	h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* accept_value writes 28 characters to out. The key has 24, so the message is 60 bytes: always two blocks. */
static void accept_value(const char *key, char *out)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	unsigned char block[128] = {0}, sum[21] = {0};

	memcpy(block, key, 24);
	memcpy(block + 24, guid, 36);
	block[60] = 0x80;
	block[126] = (60 * 8) >> 8;
	block[127] = (60 * 8) & 0xff;
	sha1_block(h, block);
	sha1_block(h, block + 64);
	for (int i = 0; i < 20; i++)
		sum[i] = h[i / 4] >> (24 - 8 * (i % 4));
	for (int i = 0; i < 7; i++) {
		uint32_t v = sum[3 * i] << 16 | sum[3 * i + 1] << 8 | sum[3 * i + 2];
		for (int j = 0; j < 4; j++)
			out[4 * i + j] = digits[v >> (18 - 6 * j) & 63];
	}
	out[27] = '='; /* 20 bytes: the last group has two */
}

/* ---- one connection ---- */

static void send_all(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		shutdown(fd, SHUT_RDWR); /* its hang-up event closes it */
}

static void drop(int fd)
{
	for (int i = 0; i < subscribed; i++) {
		if (subscribers[i] == fd) {
			subscribers[i] = subscribers[--subscribed];
			break;
		}
	}
	close(fd);
}

static void refuse(int fd)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	send_all(fd, answer, sizeof answer - 1);
	shutdown(fd, SHUT_RDWR);
}

static void upgrade(int fd)
{
	static char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                       "Sec-WebSocket-Accept: ............................\r\n\r\n";
	char *key = strcasestr(input, "\r\nSec-WebSocket-Key: ");
	if (!key || !strstr(key, "\r\n\r\n") || strcspn(key + 21, "\r") != 24) {
		refuse(fd);
		return;
	}
	accept_value(key + 21, answer + sizeof answer - 1 - 4 - 28);
	send_all(fd, answer, sizeof answer - 1);
}

static void subscribe(int fd)
{
	if (subscribed == MAX_SUBSCRIBERS) {
		shutdown(fd, SHUT_RDWR);
		return;
	}
	subscribers[subscribed++] = fd;
	send_all(fd, success_frame, success_bytes);
}

/* put_header writes the header of a text frame of size bytes, at most 65,535, and returns its length. */
static size_t put_header(unsigned char *p, size_t size)
{
	p[0] = 0x81;
	if (size < 126) {
		p[1] = size;
		return 2;
	}
	p[1] = 126, p[2] = size >> 8, p[3] = size & 0xff;
	return 4;
}

static void publish(int fd, size_t n)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
	char *body = strstr(input, "\r\n\r\n"), *length = strcasestr(input, "\r\nContent-Length: ");
	if (!body || !length || length > body) {
		refuse(fd);
		return;
	}
	body += 4;
	size_t size = strtoul(length + 18, NULL, 10);
	if (size != n - (size_t)(body - input) || size > 0xffff) {
		refuse(fd);
		return;
	}
	size_t head = put_header(frame, size);
	memcpy(frame + head, body, size);
	for (int i = 0; i < subscribed; i++)
		send_all(subscribers[i], frame, head + size);
	send_all(fd, answer, sizeof answer - 1);
}

static void readable(int fd)
{
	ssize_t n = read(fd, input, INPUT_BYTES);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			drop(fd);
		return;
	}
	input[n] = 0;
	if (input[0] == 'G')
		upgrade(fd);
	else if (input[0] == 'P')
		publish(fd, n);
	else if ((unsigned char)input[0] == 0x81)
		subscribe(fd);
}

/* ---- accept and loop ---- */

static void watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

static void accept_some(int listener)
{
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
				return;
			die("accept4");
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		watch(fd);
	}
}

static int listen_on(int port)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
		die("bind");
	if (listen(fd, 65535) < 0)
		die("listen");
	return fd;
}

int main(int argc, char **argv)
{
	int port = argc == 2 ? atoi(argv[1]) : 0;
	if (port <= 0 || port > 65535) {
		fprintf(stderr, "usage: floor PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	success_bytes = put_header(success_frame, sizeof success_text - 1);
	memcpy(success_frame + success_bytes, success_text, sizeof success_text - 1);
	success_bytes += sizeof success_text - 1;

	int listener = listen_on(port);
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
	watch(listener);
	for (;;) {
		struct epoll_event events[MAX_EVENTS];
		int n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_some(listener);
			else
				readable(events[i].data.fd);
		}
	}
}
