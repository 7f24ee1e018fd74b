//go:build ignore

/*
 * kernel: what other ways into the Linux kernel would change for a server that writes one frame to many sockets.
 *
 *   cc -O2 -o bin/kernel bench/kernel/kernel.c && bin/kernel          (--help tells the options)
 *
 * Two processes on the loopback, each on a CPU of its own: the writer, which is measured, and a reader, which drains all
 * sockets through one epoll descriptor and counts bytes. Every way writes the same frame to the same sockets, which are
 * set up as a server's are: not blocking, TCP_NODELAY, all in one epoll set; and with reno, which never waits for a timer
 * of its own before it sends. The ways take turns, so that what disturbs the machine hits all of them; the first round is
 * not counted. The machine should be idle otherwise.
 *
 * CPU is the writer's process clock, user and system time of all its threads, that of io_uring included. On the loopback
 * a write delivers, so the kernel's work for the receiver up to its socket is in it, for every way alike. Waiting for
 * the reader is never in it. cpu_us counts the pieces of 512 sockets in which no other process had the writer's CPU;
 * alone_percent is how many those are. all_cpu_us counts all pieces, and what the kernel put off to its own thread: where
 * others want the CPU too, a way that stays in the kernel for long looks better there than it is.
 * Wall time is from the first write to the moment in which the reader has the last byte.
 *
 * What the kernel refuses is a row with the call and the errno instead of a figure, and the others go on.
 * Exit code: 0 measured, 1 failed, 2 refused by the options or by a limit of the host.
 *
 * The first line keeps the go command from taking this file for a part of the Go package beside it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/errqueue.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef EPIOCSPARAMS /* Linux 6.9; most C libraries do not have it yet */
struct epoll_params {
	uint32_t busy_poll_usecs;
	uint16_t busy_poll_budget;
	uint8_t prefer_busy_poll;
	uint8_t pad; /* must be 0 */
};
#define EPIOCSPARAMS _IOW(0x8A, 0x01, struct epoll_params)
#endif

enum {
	MAX_DESCRIPTORS = 20000,
	SPARE_DESCRIPTORS = 100, /* of a process beside its sockets: rings, epoll, files */
	MAX_SOCKETS = MAX_DESCRIPTORS - SPARE_DESCRIPTORS,
	SOCKETS_AN_ADDRESS = 4000, /* below the 28,000 ports that a host has by default */
	MAX_CROWDS = 8,
	MAX_ROUNDS = 100,
	MAX_REQUESTS = 100000,
	MAX_FRAME = 64 * 1024,
	HEADER_BYTES = 4, /* of a frame of 126 to 65,535 bytes */
	EVENTS = 256,
	SIZES_SOCKETS = 200,
	SIZES_SHARE = 10,          /* of -deliveries that a run of the sizes has: they are large */
	SIZES_RCVBUF = 1024 * 1024, /* so that 64 KiB fit the window */
	SQ_IDLE_MS = 1,            /* the least that the kernel takes; by default its thread spins for a second */
	BUSY_POLL_US = 50,         /* what the kernel's documentation recommends to begin with */
	REQUEST_BYTES = 64,
	WATCHDOG_SECONDS = 60,
	PIECE = 512, /* sockets whose writes are timed together: a multiple of every batch */
	MAX_FIGURES = 5,
	SPREAD_FIGURES = 2, /* of a row, whose spread the table has; the others are near 0, where it says nothing */
	MAX_ROWS = 16,
};

/* ---- options, and ends of the program ---- */

static struct {
	int crowds[MAX_CROWDS], crowd_count;
	long deliveries, requests, gap_us, quiet_ms, bytes, rounds, writer_cpu, reader_cpu;
	bool reader_blocks;
	const char *json, *only; /* only: a section's key; NULL for all */
} options = {.crowds = {10000, 1000}, .crowd_count = 2, .deliveries = 40000, .requests = 2000, .gap_us = 100, .quiet_ms = 200,
             .bytes = 512, .rounds = 5, .writer_cpu = 1, .reader_cpu = 0};

static const char help[] =
    "usage: kernel [options]\n"
    "Measures what io_uring, MSG_ZEROCOPY and busy polling change for writing one frame to many loopback sockets\n"
    "and for waiting for a request. Needs two CPUs that do nothing else.\n"
    "  -sockets LIST      sockets of a fan-out, each at most 19900 (10000,1000)\n"
    "  -bytes N           of the frame, 126 to 65535 (512)\n"
    "  -deliveries N      of a way in a round (40000); the sizes have a tenth\n"
    "  -requests N        of a way of waiting in a round, at most 100000 (2000)\n"
    "  -gap MICROSECONDS  between an answer and the next request, at most 100000 (100)\n"
    "  -quiet MS          for which an idle wait is watched, 1 to 10000 (200)\n"
    "  -rounds N          that count, at most 99; one more is discarded (5)\n"
    "  -writer-cpu N      where the measured process runs (1)\n"
    "  -reader-cpu N      where the other one runs (0)\n"
    "  -reader spin|block whether the reader waits for input without ever sleeping (spin)\n"
    "  -only SECTION      bare, fanout, size or waits\n"
    "  -json FILE         all runs too\n";

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "kernel: %s: %s\n", what, strerror(errno));
	exit(1);
}

__attribute__((format(printf, 1, 2))) static _Noreturn void refuse(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("kernel: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

/* Every wait of this program ends with data of the other process; the watchdog is the bound of all of them. */
static void stuck(int signal)
{
	static const char text[] = "kernel: nothing moved for a minute\n";
	(void)signal;
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(1);
}

static long number(const char *option, const char *text, long least, long most)
{
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < least || n > most)
		refuse("-%s %s: want a number from %ld to %ld", option, text, least, most);
	return n;
}

static void parse_sockets(char *list)
{
	options.crowd_count = 0;
	for (char *save, *item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		if (options.crowd_count == MAX_CROWDS)
			refuse("-sockets: more than %d numbers", MAX_CROWDS);
		options.crowds[options.crowd_count++] = number("sockets", item, 1, MAX_SOCKETS);
	}
	if (options.crowd_count == 0)
		refuse("-sockets: no number");
}

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
	    {"sockets", 1, 0, 's'}, {"bytes", 1, 0, 'b'}, {"deliveries", 1, 0, 'd'}, {"requests", 1, 0, 'q'}, {"gap", 1, 0, 'g'},
	    {"quiet", 1, 0, 'i'}, {"only", 1, 0, 'o'}, {"rounds", 1, 0, 'r'}, {"writer-cpu", 1, 0, 'w'}, {"reader-cpu", 1, 0, 'c'},
	    {"reader", 1, 0, 'm'},
	    {"json", 1, 0, 'j'}, {"help", 0, 0, 'h'}, {0}};
	for (int c; (c = getopt_long_only(argc, argv, "", known, NULL)) != -1;) {
		switch (c) {
		case 's': parse_sockets(optarg); break;
		case 'b': options.bytes = number("bytes", optarg, 126, 65535); break;
		case 'd': options.deliveries = number("deliveries", optarg, 1, 10000000); break;
		case 'q': options.requests = number("requests", optarg, 1, MAX_REQUESTS); break;
		case 'g': options.gap_us = number("gap", optarg, 0, 100000); break;
		case 'i': options.quiet_ms = number("quiet", optarg, 1, 10000); break;
		case 'o': options.only = optarg; break;
		case 'r': options.rounds = number("rounds", optarg, 1, MAX_ROUNDS - 1); break;
		case 'w': options.writer_cpu = number("writer-cpu", optarg, 0, CPU_SETSIZE - 1); break;
		case 'c': options.reader_cpu = number("reader-cpu", optarg, 0, CPU_SETSIZE - 1); break;
		case 'm':
			options.reader_blocks = !strcmp(optarg, "block");
			if (!options.reader_blocks && strcmp(optarg, "spin"))
				refuse("-reader %s: want spin or block", optarg);
			break;
		case 'j': options.json = optarg; break;
		case 'h': fputs(help, stdout); exit(0);
		default: fputs(help, stderr); exit(2);
		}
	}
	if (options.only && strcmp(options.only, "bare") && strcmp(options.only, "fanout") && strcmp(options.only, "size") &&
	    strcmp(options.only, "waits"))
		refuse("-only %s: want bare, fanout, size or waits", options.only);
	if (optind != argc)
		refuse("%s: not an option; --help tells them", argv[optind]);
}

/* ---- the host ---- */

static int64_t now(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) < 0)
		die("clock_gettime");
	return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

static int64_t cpu_now(void) { return now(CLOCK_PROCESS_CPUTIME_ID); }
static int64_t wall_now(void) { return now(CLOCK_MONOTONIC); }

static void pin(const char *option, long cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		refuse("-%s %ld: sched_setaffinity: %s", option, cpu, strerror(errno));
}

/* Both processes have as many sockets, so one check does for both. */
static void raise_descriptors(void)
{
	struct rlimit limit;
	rlim_t need = SPARE_DESCRIPTORS + SIZES_SOCKETS;
	for (int i = 0; i < options.crowd_count; i++)
		if (need < (rlim_t)options.crowds[i] + SPARE_DESCRIPTORS)
			need = options.crowds[i] + SPARE_DESCRIPTORS;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit");
	if (limit.rlim_max < need)
		refuse("%ju descriptors are needed, the hard limit is %ju (ulimit -Hn): lower -sockets", (uintmax_t)need,
		       (uintmax_t)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max < MAX_DESCRIPTORS ? limit.rlim_max : MAX_DESCRIPTORS;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
}

/* first_line reads a file of /proc; what is not there reads as "-". */
static const char *first_line(const char *path, char *to, size_t size)
{
	FILE *f = fopen(path, "re");
	if (!f || !fgets(to, size, f))
		snprintf(to, size, "-");
	if (f)
		fclose(f);
	to[strcspn(to, "\n")] = 0;
	return to;
}

static int put_off[2]; /* accounts, of the writer's CPU and of the reader's; 0: none */

/* A moment of the machine's account, in ticks of all CPUs: its differences say what else ran. */
struct account {
	long all, idle, steal, own;
};

static struct account account(void)
{
	long user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
	struct account a = {0};
	char line[256];
	sscanf(first_line("/proc/stat", line, sizeof line), "cpu %ld %ld %ld %ld %ld %ld %ld %ld", &user, &nice, &system, &idle,
	       &iowait, &irq, &softirq, &steal);
	a.idle = idle + iowait;
	a.steal = steal;
	a.all = user + nice + system + a.idle + irq + softirq + steal;
	for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
		struct rusage u;
		if (getrusage(who, &u) < 0)
			die("getrusage");
		double seconds = u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
		a.own += seconds * sysconf(_SC_CLK_TCK);
	}
	return a;
}

/*
 * put_off_open opens the account of the kernel's thread that does a CPU's network work when there is too much of it at
 * once, or when another process waits for that CPU: such work is in no process's time. 0: not to be seen from here.
 */
static int put_off_open(long cpu)
{
	char want[32], path[300], comm[32];
	DIR *proc = opendir("/proc");
	int fd = 0;
	snprintf(want, sizeof want, "ksoftirqd/%ld", cpu);
	if (!proc)
		return 0;
	for (struct dirent *e; (e = readdir(proc));) {
		snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || strcmp(first_line(path, comm, sizeof comm), want))
			continue;
		snprintf(path, sizeof path, "/proc/%s/schedstat", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		break;
	}
	closedir(proc);
	return fd > 0 ? fd : 0;
}

static int64_t put_off_now(int account)
{
	char text[128] = {0};
	return account && pread(account, text, sizeof text - 1, 0) > 0 ? atoll(text) : 0;
}

/* ---- figures ---- */

struct figure {
	double run[MAX_ROUNDS];
	int n;
};

struct row {
	const char *name, *refused_call; /* refused_call is NULL unless the kernel refused */
	int refused;                     /* its errno */
	struct figure figure[MAX_FIGURES];
};

struct section {
	const char *key, *title;
	int sockets;
	long bytes;
	const char *figure[MAX_FIGURES]; /* the ratio is that of the first one */
	struct row row[MAX_ROWS];
	int rows;
};

static FILE *json; /* in memory until all is measured, so that a failed run leaves no half a file */
static bool json_more;

/* refused keeps the first refusal of a row: what follows from it is no news. */
static void refused(struct row *r, const char *call, int error)
{
	if (!r->refused_call)
		r->refused_call = call, r->refused = error;
}

static void keep(struct row *r, int figure, double value)
{
	struct figure *f = &r->figure[figure];
	f->run[f->n++] = value;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* median also gives the distance of the largest run from the smallest, in percent of the median. */
static double median(const struct figure *f, double *spread)
{
	double v[MAX_ROUNDS];
	memcpy(v, f->run, f->n * sizeof v[0]);
	qsort(v, f->n, sizeof v[0], ascending);
	double m = (v[(f->n - 1) / 2] + v[f->n / 2]) / 2;
	*spread = m > 0 ? 100 * (v[f->n - 1] - v[0]) / m : 0;
	return m;
}

static void print_row(const struct section *s, const struct row *r)
{
	double spread, first = s->row[0].refused_call ? 0 : median(&s->row[0].figure[0], &spread);
	printf("%-44s", r->name);
	if (r->refused_call) {
		const char *name = strerrorname_np(r->refused);
		printf("  refused: %s: %s (%d)\n", r->refused_call, name ? name : "errno", r->refused);
		return;
	}
	for (int i = 0; i < MAX_FIGURES && s->figure[i]; i++) {
		double m = median(&r->figure[i], &spread);
		printf(" %14.3f", m);
		if (i < SPREAD_FIGURES)
			printf(" %5.0f", spread);
		if (i == 0 && first > 0)
			printf(" %7.2f", m / first);
	}
	printf("\n");
}

static void json_row(const struct row *r, const struct section *s)
{
	fprintf(json, "{\"way\":\"%s\"", r->name);
	if (r->refused_call) {
		const char *name = strerrorname_np(r->refused);
		fprintf(json, ",\"refused\":{\"call\":\"%s\",\"errno\":\"%s\",\"number\":%d}}", r->refused_call, name ? name : "", r->refused);
		return;
	}
	for (int i = 0; i < MAX_FIGURES && s->figure[i]; i++) {
		double spread, m = median(&r->figure[i], &spread);
		fprintf(json, ",\"%s\":{\"median\":%.4f,\"spread_percent\":%.1f,\"runs\":[", s->figure[i], m, spread);
		for (int k = 0; k < r->figure[i].n; k++)
			fprintf(json, "%s%.4f", k ? "," : "", r->figure[i].run[k]);
		fprintf(json, "]}");
	}
	fprintf(json, "}");
}

static void report(const struct section *s)
{
	printf("\n%s\n%-44s", s->title, "");
	for (int i = 0; i < MAX_FIGURES && s->figure[i]; i++)
		printf(" %14s%s%s", s->figure[i], i < SPREAD_FIGURES ? "    ±%" : "", i ? "" : " x first");
	printf("\n");
	fprintf(json, "%s\n{\"section\":\"%s\",\"title\":\"%s\",\"sockets\":%d,\"bytes\":%ld,\"rows\":[", json_more ? "," : "", s->key,
	        s->title, s->sockets, s->bytes);
	json_more = true;
	for (int i = 0; i < s->rows; i++) {
		print_row(s, &s->row[i]);
		fprintf(json, "%s\n ", i ? "," : "");
		json_row(&s->row[i], s);
	}
	fprintf(json, "]}");
	fflush(stdout);
}

/* ---- io_uring, by its system calls ---- */

struct ring {
	int fd; /* 0: none; descriptor 0 is standard input */
	bool sqpoll;
	clockid_t sq_clock; /* CPU time of the kernel's thread that submits; only with sqpoll */
	unsigned tail, sq_mask, cq_mask;
	_Atomic unsigned *sq_tail, *sq_flags, *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	void *map[3];
	size_t mapped[3];
};

static void *ring_map(struct ring *r, int part, size_t size, off_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, offset);
	if (p == MAP_FAILED)
		die("mmap of a ring");
	r->map[part] = p, r->mapped[part] = size;
	return p;
}

/*
 * ring_clock finds the CPU clock of the kernel's thread that submits. The process's clock has its time too, but only up to
 * the last tick of the scheduler, and that is long after the last write. The number is that of the C library for a
 * thread's clock, which it does not give for threads that are not its own.
 */
static bool ring_clock(struct ring *r, struct row *row)
{
	char path[64], line[128];
	int thread = 0, self = getpid();
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", r->fd);
	for (int tries = 0; (thread <= 0 || thread == self) && tries < 1000; tries++) { /* its maker's until it first runs */
		FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof line, f))
			sscanf(line, "SqThread: %d", &thread);
		if (f)
			fclose(f);
		usleep(1000);
	}
	r->sq_clock = (int)(~(unsigned)thread << 3 | 6);
	struct timespec t;
	if (thread > 0 && thread != self && clock_gettime(r->sq_clock, &t) == 0)
		return true;
	refused(row, "clock of the SQPOLL thread", thread > 0 && thread != self ? errno : ESRCH);
	return false;
}

/*
 * ring_open makes a ring of at least entries, and answers at most as many completions before the kernel must keep some
 * aside. sq_cpu < 0: the caller submits; otherwise a thread of the kernel does, on that CPU. False: refused.
 */
static bool ring_open(struct ring *r, struct row *row, unsigned entries, unsigned completions, long sq_cpu)
{
	struct io_uring_params p = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, .cq_entries = completions};
	if (sq_cpu >= 0) {
		p.flags |= IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF;
		p.sq_thread_cpu = sq_cpu, p.sq_thread_idle = SQ_IDLE_MS;
	} else {
		p.flags |= IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN; /* the fastest for one thread, Linux 6.1 */
	}
	int fd = syscall(SYS_io_uring_setup, entries, &p);
	if (fd < 0 && errno == EINVAL && sq_cpu < 0) {
		p = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, .cq_entries = completions};
		fd = syscall(SYS_io_uring_setup, entries, &p);
	}
	if (fd < 0) {
		refused(row, "io_uring_setup", errno);
		return false;
	}
	*r = (struct ring){.fd = fd, .sqpoll = sq_cpu >= 0};
	char *sq = ring_map(r, 0, p.sq_off.array + p.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	char *cq = ring_map(r, 1, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	r->sqes = ring_map(r, 2, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	r->sq_tail = (void *)(sq + p.sq_off.tail), r->sq_flags = (void *)(sq + p.sq_off.flags);
	r->cq_head = (void *)(cq + p.cq_off.head), r->cq_tail = (void *)(cq + p.cq_off.tail);
	r->cqes = (void *)(cq + p.cq_off.cqes);
	r->sq_mask = p.sq_entries - 1, r->cq_mask = p.cq_entries - 1;
	for (unsigned i = 0; i < p.sq_entries; i++)
		((uint32_t *)(sq + p.sq_off.array))[i] = i;
	return !r->sqpoll || ring_clock(r, row);
}

static void ring_close(struct ring *r)
{
	if (!r->fd)
		return;
	for (int i = 0; i < 3; i++)
		munmap(r->map[i], r->mapped[i]);
	close(r->fd);
	r->fd = 0;
}

static bool ring_register(struct ring *r, struct row *row, unsigned what, const char *call, const void *from, unsigned n)
{
	if (syscall(SYS_io_uring_register, r->fd, what, from, n) == 0)
		return true;
	refused(row, call, errno);
	return false;
}

/* ring_next is a cleared entry, of which the caller has not more than the ring has before it enters. */
static struct io_uring_sqe *ring_next(struct ring *r)
{
	struct io_uring_sqe *e = &r->sqes[r->tail++ & r->sq_mask];
	memset(e, 0, sizeof *e);
	return e;
}

/* ring_enter hands over all new entries and waits for so many completions, seen or not. False: errno says why. */
static bool ring_enter(struct ring *r, unsigned submit, unsigned wait)
{
	atomic_store(r->sq_tail, r->tail); /* sequentially consistent: the flags below must be read after it */
	do {
		unsigned flags = IORING_ENTER_GETEVENTS;
		if (r->sqpoll && atomic_load(r->sq_flags) & IORING_SQ_NEED_WAKEUP)
			flags |= IORING_ENTER_SQ_WAKEUP;
		long n = syscall(SYS_io_uring_enter, r->fd, submit, wait, flags, NULL, 0);
		if (n < 0 && errno != EINTR)
			return false;
		submit -= n < 0 ? 0 : n;
	} while (submit > 0);
	return true;
}

/* ring_sleep waits until the kernel's thread has stopped spinning, so that the next way is not charged with it. */
static void ring_sleep(struct ring *r)
{
	while (r->fd && r->sqpoll && !(atomic_load(r->sq_flags) & IORING_SQ_NEED_WAKEUP))
		usleep(100);
}

/* ---- the two processes ---- */

/* What both see. Each line of the cache has one writer. */
struct shared {
	_Alignas(64) _Atomic int64_t received;  /* bytes so far, by the reader; set after reached */
	_Atomic int64_t reached; /* when received came to target: CLOCK_MONOTONIC, ns; 0 before. Of the asker: 1 when done */
	_Alignas(64) _Atomic int64_t target;    /* by the writer, while nothing is under way */
	_Alignas(64) _Atomic int turn;          /* by the writer: the connection, from 1, that the asker shall use */
	_Alignas(64) uint32_t rtt[MAX_REQUESTS]; /* ns, by the asker in its turn */
};

static struct shared *shared;
static unsigned char *frame; /* MAX_FRAME bytes in pages of its own, for the ways that pin them */

/* The sockets of one section and the process at their other ends. */
struct crowd {
	int n, *fd;
	int epoll; /* all of fd, for input and errors */
	pid_t other;
	int64_t sent; /* bytes */
};

static void watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

/* await_events waits for input or errors, at most so long, -1 for ever. A ring of this process may interrupt a wait. */
static int await_events(int epoll, struct epoll_event *events, int most, int timeout)
{
	int n;
	do
		n = epoll_wait(epoll, events, most, timeout);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		die("epoll_wait");
	return n;
}

/* connect_all is the other process's half of a crowd. RST at its end, so that no port stays in TIME_WAIT. */
static int *connect_all(const struct sockaddr_in *to, int n, int rcvbuf)
{
	int *fd = calloc(n, sizeof *fd), one = 1;
	if (!fd)
		die("calloc");
	for (int i = 0; i < n; i++) {
		struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + i / SOCKETS_AN_ADDRESS)};
		struct linger reset = {.l_onoff = 1};
		if ((fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
			die("socket");
		if (rcvbuf && setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf) < 0)
			die("SO_RCVBUF");
		if (setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0 ||
		    setsockopt(fd[i], IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) < 0 ||
		    setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
			die("setsockopt");
		if (bind(fd[i], (struct sockaddr *)&from, sizeof from) < 0)
			die("bind");
		if (connect(fd[i], (const struct sockaddr *)to, sizeof *to) < 0)
			die("connect");
	}
	return fd;
}

/* drain is the reader: it ends by a signal. */
static _Noreturn void drain(const int *fd, int n)
{
	static char into[MAX_FRAME];
	struct epoll_event events[EVENTS];
	int64_t received = 0;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		die("epoll_create1");
	for (int i = 0; i < n; i++)
		watch(epoll, fd[i], EPOLLIN);
	for (;;) {
		int ready = await_events(epoll, events, EVENTS, options.reader_blocks ? -1 : 0);
		for (int i = 0; i < ready; i++) {
			ssize_t got = read(events[i].data.fd, into, sizeof into);
			if (got <= 0)
				die("read of the reader");
			received += got;
		}
		if (ready == 0)
			continue;
		if (received >= atomic_load(&shared->target) && atomic_load(&shared->reached) == 0)
			atomic_store(&shared->reached, wall_now());
		atomic_store(&shared->received, received);
	}
}

/* ask is the reader's place in the section of waits: it sends requests on one connection after the other, ever spinning. */
static _Noreturn void ask(const int *fd, int n)
{
	char request[REQUEST_BYTES] = {0}, answer[REQUEST_BYTES];
	for (;;) {
		int turn = atomic_load(&shared->turn);
		if (turn < 1 || turn > n)
			continue;
		/* requests, one that begins the quiet, and after it the last, which has no answer */
		for (long i = 0; i <= options.requests + 1; i++) {
			request[0] = i < options.requests ? 'r' : i == options.requests ? 'q' : 'e';
			int64_t began = wall_now();
			if (write(fd[turn - 1], request, sizeof request) != sizeof request)
				die("write of a request");
			for (size_t got = 0; got < sizeof answer && request[0] != 'e';) {
				ssize_t more = recv(fd[turn - 1], answer + got, sizeof answer - got, MSG_DONTWAIT);
				if (more == 0 || (more < 0 && errno != EAGAIN))
					die("read of an answer");
				got += more < 0 ? 0 : more;
			}
			int64_t ended = wall_now(), gap = i == options.requests ? options.quiet_ms * 1000000 : options.gap_us * 1000;
			if (i < options.requests)
				shared->rtt[i] = ended - began;
			while (wall_now() < ended + gap)
				;
		}
		atomic_store(&shared->reached, 1);
		while (atomic_load(&shared->turn) == turn)
			;
		atomic_store(&shared->reached, 0); /* the same connection may come again */
	}
}

/* assemble forks the other process, which connects n sockets and goes on with its work, and accepts them in order. */
static struct crowd assemble(int n, int rcvbuf, bool blocking, void (*work)(const int *, int))
{
	struct crowd c = {.n = n, .fd = calloc(n, sizeof(int)), .epoll = epoll_create1(EPOLL_CLOEXEC)};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	pid_t writer = getpid();
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!c.fd || c.epoll < 0 || listener < 0)
		die("socket");
	if (bind(listener, (struct sockaddr *)&at, size) < 0 || getsockname(listener, (struct sockaddr *)&at, &size) < 0 ||
	    listen(listener, 4096) < 0)
		die("listen");
	memset(shared, 0, sizeof *shared);
	fflush(NULL); /* or the other process would write what is buffered once more */
	if ((c.other = fork()) < 0)
		die("fork");
	if (c.other == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			die("prctl");
		if (getppid() != writer)
			_exit(1);
		pin("reader-cpu", options.reader_cpu);
		work(connect_all(&at, n, rcvbuf), n);
		_exit(1); /* work does not return */
	}
	for (int i = 0; i < n; i++) {
		if ((c.fd[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK))) < 0)
			die("accept4");
		if (setsockopt(c.fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
			die("TCP_NODELAY");
		/* With congestion control that paces, as BBR does, a timer would send some of the frames, in nobody's time. */
		if (setsockopt(c.fd[i], IPPROTO_TCP, TCP_CONGESTION, "reno", 4) < 0)
			die("TCP_CONGESTION");
		if (!blocking)
			watch(c.epoll, c.fd[i], EPOLLIN | EPOLLRDHUP);
	}
	close(listener);
	return c;
}

static void dissolve(struct crowd *c)
{
	if (kill(c->other, SIGKILL) < 0 || waitpid(c->other, NULL, 0) < 0)
		die("end of the other process");
	for (int i = 0; i < c->n; i++)
		close(c->fd[i]);
	close(c->epoll);
	free(c->fd);
}

/* alive is called now and then by whoever waits: the other process has said itself why it ended. */
static void alive(const struct crowd *c)
{
	if (waitpid(c->other, NULL, WNOHANG) == 0)
		return;
	fprintf(stderr, "kernel: the other process has ended\n");
	exit(1);
}

/* arrive waits without sleeping, so that the writer's CPU does not cool down, until the reader has all that was sent. */
static void arrive(const struct crowd *c)
{
	for (long i = 1; atomic_load(&shared->received) != c->sent; i++) {
		wall_now(); /* some nanoseconds in which the line belongs to the reader */
		if (i % 100000 == 0)
			alive(c);
	}
}

/* ---- ways to write ---- */

enum kind { EACH, RING, RING_ZEROCOPY };

struct way {
	const char *name, *call; /* call: what the kernel may refuse */
	enum kind kind;
	ssize_t (*put)(int fd, size_t n); /* EACH */
	bool zerocopy;                    /* EACH: put asks for notifications */
	unsigned batch;                   /* the ring's: entries a system call */
	bool files;                       /* the ring's: registered */
	bool sq_writer, sq_reader;        /* the ring's: a thread of the kernel submits, on that process's CPU */
};

static ssize_t put_write(int fd, size_t n) { return write(fd, frame, n); }
static ssize_t put_send(int fd, size_t n) { return send(fd, frame, n, MSG_NOSIGNAL | MSG_DONTWAIT); }
static ssize_t put_zerocopy(int fd, size_t n) { return send(fd, frame, n, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_ZEROCOPY); }

/* put_write_twice_in tells what a call costs where it is made, with the kernel's caches full of something else. */
static ssize_t put_write_twice_in(int fd, size_t n)
{
	syscall(SYS_getppid);
	return write(fd, frame, n);
}

static ssize_t put_writev(int fd, size_t n)
{
	struct iovec v[] = {{frame, HEADER_BYTES}, {frame + HEADER_BYTES, n - HEADER_BYTES}};
	return writev(fd, v, 2);
}

static const struct way fan_ways[] = {
    {"write(2)", "write", EACH, .put = put_write},
    {"send(2), MSG_NOSIGNAL | MSG_DONTWAIT", "send", EACH, .put = put_send},
    {"writev(2) of header and payload", "writev", EACH, .put = put_writev},
    {"write(2) after an empty call, getppid", "write", EACH, .put = put_write_twice_in},
    {"io_uring, batches of 32", "IORING_OP_SEND", RING, .batch = 32},
    {"io_uring, batches of 128", "IORING_OP_SEND", RING, .batch = 128},
    {"io_uring, batches of 512", "IORING_OP_SEND", RING, .batch = 512},
    {"io_uring, 32, registered files", "IORING_OP_SEND", RING, .batch = 32, .files = true},
    {"io_uring, 128, registered files", "IORING_OP_SEND", RING, .batch = 128, .files = true},
    {"io_uring, 512, registered files", "IORING_OP_SEND", RING, .batch = 512, .files = true},
    {"io_uring, 512, files, SQPOLL, writer's CPU", "IORING_OP_SEND", RING, .batch = 512, .files = true, .sq_writer = true},
    {"io_uring, 512, files, SQPOLL, reader's CPU", "IORING_OP_SEND", RING, .batch = 512, .files = true, .sq_reader = true},
    {"send(2), MSG_ZEROCOPY", "send MSG_ZEROCOPY", EACH, .put = put_zerocopy, .zerocopy = true},
    {"io_uring, 128, files, buffer, SEND_ZC", "IORING_OP_SEND_ZC", RING_ZEROCOPY, .batch = 128, .files = true},
};

static const struct way size_ways[] = {
    {"write(2)", "write", EACH, .put = put_write},
    {"send(2), MSG_ZEROCOPY", "send MSG_ZEROCOPY", EACH, .put = put_zerocopy, .zerocopy = true},
    {"io_uring, 128, registered files", "IORING_OP_SEND", RING, .batch = 128, .files = true},
    {"io_uring, 128, files, buffer, SEND_ZC", "IORING_OP_SEND_ZC", RING_ZEROCOPY, .batch = 128, .files = true},
};

enum { CPU_US, WALL_US, ALL_CPU_US, ALONE_PERCENT, COPIED_PERCENT }; /* figures of these ways */

/* One way in use. */
struct fan {
	const struct way *way;
	struct row *row;
	struct ring ring;
	unsigned answered;                 /* completions of the batch under way */
	int64_t pending, notified, copied; /* notifications of zero copy: due; had, of a run; of those, "it was copied" */
	bool alone;                        /* a round had pieces without another process: rounds without any do not count */
	int64_t stalls;                    /* sockets that were full, of a run */
};

static void fan_open(struct fan *f, const struct crowd *c)
{
	const struct way *w = f->way;
	struct iovec buffer = {frame, MAX_FRAME};
	int one = 1;
	for (int i = 0; w->zerocopy && i < c->n; i++) { /* changes nothing for sends without the flag */
		if (setsockopt(c->fd[i], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one) < 0) {
			refused(f->row, "SO_ZEROCOPY", errno);
			return;
		}
	}
	if (w->kind == EACH)
		return;
	long cpu = w->sq_writer ? options.writer_cpu : w->sq_reader ? options.reader_cpu : -1;
	if (!ring_open(&f->ring, f->row, w->batch, 2 * (w->kind == RING ? w->batch : (unsigned)c->n + w->batch), cpu))
		return;
	if (w->files && !ring_register(&f->ring, f->row, IORING_REGISTER_FILES, "IORING_REGISTER_FILES", c->fd, c->n))
		return;
	if (w->kind == RING_ZEROCOPY)
		ring_register(&f->ring, f->row, IORING_REGISTER_BUFFERS, "IORING_REGISTER_BUFFERS", &buffer, 1);
}

/* finish writes what a full socket did not take; the figures of such a run tell of it. */
static void finish(struct fan *f, struct crowd *c, int fd, size_t done, size_t bytes)
{
	f->stalls++;
	while (done < bytes) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			die("poll");
		ssize_t n = send(fd, frame + done, bytes - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			die("send");
		done += n < 0 ? 0 : n;
	}
	c->sent += bytes;
}

/* took books the result of one write: n bytes, or a negative errno. */
static void took(struct fan *f, struct crowd *c, int fd, ssize_t n, size_t bytes)
{
	if (n == (ssize_t)bytes)
		c->sent += bytes;
	else if (n < 0 && n != -EAGAIN)
		refused(f->row, f->way->call, -n);
	else
		finish(f, c, fd, n < 0 ? 0 : n, bytes);
}

static void write_each(struct fan *f, struct crowd *c, int from, int to, size_t bytes)
{
	for (int i = from; i < to && !f->row->refused_call; i++) {
		ssize_t n = f->way->put(c->fd[i], bytes);
		if (f->way->zerocopy && n > 0)
			f->pending++;
		took(f, c, c->fd[i], n < 0 ? -errno : n, bytes);
	}
}

static void reap(struct fan *f, struct crowd *c, size_t bytes)
{
	struct ring *r = &f->ring;
	unsigned head = atomic_load_explicit(r->cq_head, memory_order_relaxed);
	for (unsigned tail = atomic_load_explicit(r->cq_tail, memory_order_acquire); head != tail; head++) {
		const struct io_uring_cqe *e = &r->cqes[head & r->cq_mask];
		if (e->flags & IORING_CQE_F_NOTIF) {
			f->pending--, f->notified++;
			f->copied += (uint32_t)e->res == IORING_NOTIF_USAGE_ZC_COPIED;
			continue;
		}
		f->answered++;
		f->pending += e->flags & IORING_CQE_F_MORE ? 1 : 0;
		took(f, c, c->fd[e->user_data], e->res, bytes);
	}
	atomic_store_explicit(r->cq_head, head, memory_order_release);
}

static void prepare(struct fan *f, const struct crowd *c, int i, size_t bytes)
{
	struct io_uring_sqe *e = ring_next(&f->ring);
	e->opcode = IORING_OP_SEND;
	e->fd = f->way->files ? i : c->fd[i];
	e->flags = f->way->files ? IOSQE_FIXED_FILE : 0;
	e->addr = (uintptr_t)frame;
	e->len = bytes;
	e->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	e->user_data = i;
	if (f->way->kind == RING_ZEROCOPY) {
		e->opcode = IORING_OP_SEND_ZC;
		e->ioprio = IORING_RECVSEND_FIXED_BUF | IORING_SEND_ZC_REPORT_USAGE; /* buf_index 0 */
	}
}

static void write_ring(struct fan *f, struct crowd *c, int from, int to, size_t bytes)
{
	for (int i = from; i < to && !f->row->refused_call;) {
		unsigned batch = 0;
		for (; batch < f->way->batch && i < to; batch++)
			prepare(f, c, i++, bytes);
		f->answered = 0;
		for (unsigned submit = batch; f->answered < batch; submit = 0) {
			if (!ring_enter(&f->ring, submit, batch - f->answered)) {
				refused(f->row, "io_uring_enter", errno);
				return;
			}
			reap(f, c, bytes);
		}
	}
}

/* notices reads one socket's queue of errors, where the kernel says which sends no longer need the frame. */
static void notices(struct fan *f, int fd)
{
	char control[256];
	struct msghdr m = {.msg_control = control, .msg_controllen = sizeof control};
	if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN)
			die("recvmsg of notifications");
		return;
	}
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		struct sock_extended_err e;
		memcpy(&e, CMSG_DATA(h), sizeof e);
		if (h->cmsg_level != SOL_IP || h->cmsg_type != IP_RECVERR || e.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
			continue;
		int64_t n = (int64_t)(uint32_t)(e.ee_data - e.ee_info) + 1; /* a range; the kernel joins neighbours */
		f->pending -= n, f->notified += n;
		f->copied += e.ee_code & SO_EE_CODE_ZEROCOPY_COPIED ? n : 0;
	}
}

/* settle waits for all notifications: until then the frame may not change. It sleeps, for a peer may take 40 ms to acknowledge. */
static void settle(struct fan *f, struct crowd *c, size_t bytes)
{
	struct epoll_event events[EVENTS];
	while (f->pending > 0 && f->way->kind == EACH) {
		int n = await_events(c->epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++)
			notices(f, events[i].data.fd);
	}
	while (f->pending > 0) {
		if (!ring_enter(&f->ring, 0, 1))
			die("io_uring_enter");
		reap(f, c, bytes);
	}
}

/* fan_cpu is the account of what this way costs. */
static int64_t fan_cpu(const struct fan *f)
{
	return f->ring.sqpoll ? now(CLOCK_THREAD_CPUTIME_ID) + now(f->ring.sq_clock) : cpu_now();
}

/* What one way took in one round. CPU in ns, of so many deliveries. */
struct cost {
	int64_t cpu, wall, settled;
	int64_t alone; /* of cpu, in pieces in which nobody else had the writer's CPU */
	long done, done_alone;
};

static long displaced(void)
{
	struct rusage u;
	if (getrusage(RUSAGE_THREAD, &u) < 0)
		die("getrusage");
	return u.ru_nivcsw;
}

/* sweep writes once to all sockets, and waits until all has arrived and is settled. */
static void sweep(struct fan *f, struct crowd *c, size_t bytes, struct cost *cost)
{
	atomic_store(&shared->reached, 0);
	atomic_store(&shared->target, c->sent + (int64_t)c->n * (int64_t)bytes);
	int64_t began = wall_now();
	for (int from = 0, to; from < c->n && !f->row->refused_call; from = to) {
		to = from + PIECE < c->n ? from + PIECE : c->n;
		long before = displaced();
		int64_t cpu = fan_cpu(f);
		if (f->way->kind == EACH)
			write_each(f, c, from, to, bytes);
		else
			write_ring(f, c, from, to, bytes);
		cpu = fan_cpu(f) - cpu;
		cost->cpu += cpu, cost->done += to - from;
		if (displaced() == before)
			cost->alone += cpu, cost->done_alone += to - from;
	}
	arrive(c);
	cost->wall += atomic_load(&shared->reached) - began;
	int64_t cpu = fan_cpu(f);
	settle(f, c, bytes);
	cost->settled += fan_cpu(f) - cpu;
}

/*
 * fan_run is one way in one round: sweeps until there were so many deliveries. Its figure is that of the pieces that had
 * the CPU for themselves, for whoever else had it leaves cold caches behind; if no round has any, of all.
 */
static void fan_run(struct fan *f, struct crowd *c, size_t bytes, long deliveries, bool counts)
{
	struct cost cost = {0};
	int account = put_off[f->way->sq_reader];
	int64_t off = put_off_now(account);
	f->notified = f->copied = f->stalls = 0;
	alarm(WATCHDOG_SECONDS);
	while (cost.done < deliveries && !f->row->refused_call)
		sweep(f, c, bytes, &cost);
	ring_sleep(&f->ring);
	if (!counts || f->row->refused_call)
		return;
	double done = cost.done, settled = cost.settled / done, all = cost.cpu / done;
	off = put_off_now(account) - off;
	if (cost.done_alone && !f->alone)
		f->alone = true, f->row->figure[CPU_US].n = 0;
	if (cost.done_alone || !f->alone)
		keep(f->row, CPU_US, ((cost.done_alone ? (double)cost.alone / cost.done_alone : all) + settled) / 1e3);
	keep(f->row, WALL_US, cost.wall / done / 1e3);
	keep(f->row, ALL_CPU_US, (all + settled + off / done) / 1e3);
	keep(f->row, ALONE_PERCENT, 100.0 * cost.done_alone / done);
	keep(f->row, COPIED_PERCENT, f->notified ? 100.0 * f->copied / f->notified : 0);
	if (f->stalls)
		fprintf(stderr, "kernel: %s: %jd of %ld sockets were full for a moment\n", f->way->name, (intmax_t)f->stalls, cost.done);
}

/*
 * measure_ways is a section. All ways are open in all rounds, so that no way is measured in a process that is simpler than
 * another's; with the thread of SQPOLL it has several threads, as a Go server has, and every system call counts its
 * use of a descriptor.
 */
static void measure_ways(struct section *s, const struct way *ways, int count, int rcvbuf, long deliveries)
{
	struct fan fans[MAX_ROWS] = {0};
	alarm(WATCHDOG_SECONDS);
	struct crowd c = assemble(s->sockets, rcvbuf, false, drain);
	s->rows = count;
	s->figure[CPU_US] = "cpu_us", s->figure[WALL_US] = "wall_us";
	s->figure[ALL_CPU_US] = "all_cpu_us", s->figure[ALONE_PERCENT] = "alone_percent";
	s->figure[COPIED_PERCENT] = s->key[0] == 's' ? "copied_percent" : NULL;
	for (int i = 0; i < count; i++) {
		s->row[i].name = ways[i].name;
		fans[i] = (struct fan){.way = &ways[i], .row = &s->row[i]};
		fan_open(&fans[i], &c);
	}
	for (long round = 0; round <= options.rounds; round++)
		for (int i = 0; i < count; i++) /* another one begins each time: the first comes after a pause */
			fan_run(&fans[(i + round) % count], &c, s->bytes, deliveries, round > 0);
	for (int i = 0; i < count; i++)
		ring_close(&fans[i].ring);
	dissolve(&c);
	report(s);
}

/* ---- what a call or a ring's entry costs that does nothing ---- */

static void bare(void)
{
	static const unsigned batches[] = {32, 128, 512};
	static const char *names[] = {"a system call, getppid", "a ring's entry, NOP, batches of 32", "a ring's entry, NOP, batches of 128",
	                              "a ring's entry, NOP, batches of 512"};
	struct section s = {.key = "bare", .title = "the way in alone, without any work", .figure = {"cpu_ns"}, .rows = 4};
	struct ring rings[4] = {0};
	long calls = options.deliveries * 10;
	for (int i = 0; i < 4; i++) {
		s.row[i].name = names[i];
		if (i > 0)
			ring_open(&rings[i], &s.row[i], batches[i - 1], 2 * batches[i - 1], -1);
	}
	for (long round = 0; round <= options.rounds; round++) {
		for (int i = 0; i < 4; i++) {
			struct ring *r = &rings[i];
			long done = 0;
			alarm(WATCHDOG_SECONDS);
			int64_t began = cpu_now();
			for (; i == 0 && done < calls; done++)
				syscall(SYS_getppid);
			for (unsigned n = i ? batches[i - 1] : 0; i > 0 && done < calls && !s.row[i].refused_call; done += n) {
				for (unsigned k = 0; k < n; k++)
					ring_next(r)->opcode = IORING_OP_NOP;
				if (!ring_enter(r, n, n))
					refused(&s.row[i], "io_uring_enter", errno);
				for (unsigned k = 0, head = atomic_load(r->cq_head); k < n; k++)
					if (r->cqes[(head + k) & r->cq_mask].res < 0)
						refused(&s.row[i], "IORING_OP_NOP", -r->cqes[(head + k) & r->cq_mask].res);
				atomic_store_explicit(r->cq_head, atomic_load(r->cq_tail), memory_order_release);
			}
			if (round > 0 && !s.row[i].refused_call)
				keep(&s.row[i], 0, (double)(cpu_now() - began) / done);
		}
	}
	for (int i = 0; i < 4; i++)
		ring_close(&rings[i]);
	report(&s);
}

/* ---- ways to wait for a request ---- */

enum waiting { EPOLL, SPIN, EPOLL_SOCKET_POLL, EPOLL_PARAMS, READ, READ_SOCKET_POLL, RING_WAIT, WAITS };

static const char *const wait_names[WAITS] = {
    "epoll_wait, blocking", "epoll_wait(0), spinning", "epoll_wait, SO_BUSY_POLL on the socket", "epoll_wait, EPIOCSPARAMS",
    "read(2), blocking", "read(2), blocking, SO_BUSY_POLL", "io_uring, answer and wait in one call"};

enum { RECEIVED, SENT }; /* user_data of a ring's entries */
enum { P50_US, P99_US, BUSY_PERCENT, IDLE_PERCENT };

/* One way of waiting, with a connection of its own: what is set on a socket is not taken back. */
struct waiter {
	enum waiting how;
	int fd, epoll; /* not blocking: epoll; READ and RING_WAIT have none */
	struct row *row;
	struct ring ring;
	char in[REQUEST_BYTES], out[REQUEST_BYTES];
};

static void waiter_open(struct waiter *w)
{
	struct epoll_params p = {.busy_poll_usecs = BUSY_POLL_US, .busy_poll_budget = 8, .prefer_busy_poll = 1};
	int us = BUSY_POLL_US;
	if ((w->how == EPOLL_SOCKET_POLL || w->how == READ_SOCKET_POLL) &&
	    setsockopt(w->fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof us) < 0)
		refused(w->row, "SO_BUSY_POLL", errno);
	if (w->how == RING_WAIT)
		ring_open(&w->ring, w->row, 8, 16, -1);
	if (w->how == READ || w->how == READ_SOCKET_POLL || w->how == RING_WAIT)
		return;
	if ((w->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
	watch(w->epoll, w->fd, EPOLLIN);
	if (w->how == EPOLL_PARAMS && ioctl(w->epoll, EPIOCSPARAMS, &p) < 0)
		refused(w->row, "EPIOCSPARAMS", errno);
}

/* ring_request sends the answer, if there is one, and waits for the next request: one system call for both. 0 or an errno. */
static int ring_request(struct waiter *w, bool answer)
{
	struct ring *r = &w->ring;
	unsigned submit = 0;
	if (answer) {
		struct io_uring_sqe *e = ring_next(r);
		e->opcode = IORING_OP_SEND, e->fd = w->fd, e->addr = (uintptr_t)w->out, e->len = REQUEST_BYTES;
		e->msg_flags = MSG_NOSIGNAL, e->user_data = SENT, submit++;
	}
	struct io_uring_sqe *e = ring_next(r);
	e->opcode = IORING_OP_RECV, e->fd = w->fd, e->addr = (uintptr_t)w->in, e->len = REQUEST_BYTES;
	e->user_data = RECEIVED, submit++;
	for (bool received = false; !received; submit = 0) {
		int error = ring_enter(r, submit, 1) ? 0 : errno;
		unsigned head = atomic_load(r->cq_head), tail = atomic_load_explicit(r->cq_tail, memory_order_acquire);
		for (; head != tail; head++) {
			const struct io_uring_cqe *c = &r->cqes[head & r->cq_mask];
			received = received || c->user_data == RECEIVED;
			if (c->res != REQUEST_BYTES) /* one segment, for it is sent with one write */
				error = c->res < 0 ? -c->res : EPROTO;
		}
		atomic_store_explicit(r->cq_head, head, memory_order_release);
		if (error)
			return error;
	}
	return 0;
}

/* next_request answers the last request, if it is to be answered, and waits for the next one. */
static void next_request(struct waiter *w, bool answer)
{
	struct epoll_event ev;
	if (w->how == RING_WAIT) {
		int error = ring_request(w, answer);
		if (!error)
			return;
		if (answer)
			refuse("io_uring took a request and then did not: %s", strerror(error));
		/* The asker waits for its answers all the same. */
		refused(w->row, "IORING_OP_RECV", error);
		w->how = READ;
	}
	if (answer && write(w->fd, w->out, REQUEST_BYTES) != REQUEST_BYTES)
		die("write of an answer");
	for (int n = 0; w->epoll && n == 0;)
		n = await_events(w->epoll, &ev, 1, w->how == SPIN ? 0 : -1);
	if (read(w->fd, w->in, REQUEST_BYTES) != REQUEST_BYTES)
		die("read of a request");
}

static int ascending_ns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* asker_is waits until the asker is done with its turn (1), or ready for the next one (0). */
static void asker_is(const struct crowd *c, int64_t state)
{
	for (long i = 1; atomic_load(&shared->reached) != state; i++)
		if (i % 1000000 == 0)
			alive(c);
}

static void waiter_run(struct waiter *w, const struct crowd *c, int turn, bool counts)
{
	int64_t wall[3] = {0}, cpu[3] = {0}; /* at the first request, at the one that begins the quiet, at the last */
	bool answer = false;
	if (w->row->refused_call)
		return;
	alarm(WATCHDOG_SECONDS);
	atomic_store(&shared->turn, turn);
	do {
		next_request(w, answer);
		int at = w->in[0] == 'e' ? 2 : w->in[0] == 'q' ? 1 : 0;
		if (at > 0 || !wall[0])
			wall[at] = wall_now(), cpu[at] = cpu_now();
		answer = true;
	} while (w->in[0] != 'e');
	asker_is(c, 1);
	atomic_store(&shared->turn, 0);
	asker_is(c, 0);
	if (!counts || w->row->refused_call)
		return;
	qsort(shared->rtt, options.requests, sizeof shared->rtt[0], ascending_ns);
	keep(w->row, P50_US, shared->rtt[options.requests / 2] / 1e3);
	keep(w->row, P99_US, shared->rtt[options.requests * 99 / 100] / 1e3);
	keep(w->row, BUSY_PERCENT, 100.0 * (cpu[1] - cpu[0]) / (wall[1] - wall[0]));
	keep(w->row, IDLE_PERCENT, 100.0 * (cpu[2] - cpu[1]) / (wall[2] - wall[1]));
}

/*
 * busy_polled reads whether the kernel knows a device's queue that it could poll for this socket: an identifier that the
 * driver's poll routine puts on a packet. The loopback has no such routine.
 */
static void busy_polled(const struct crowd *c, char *to, size_t size)
{
	unsigned id = 0;
	socklen_t bytes = sizeof id;
	if (getsockopt(c->fd[0], SOL_SOCKET, SO_INCOMING_NAPI_ID, &id, &bytes) < 0)
		snprintf(to, size, "refused: %s", strerrorname_np(errno));
	else
		snprintf(to, size, "%u%s", id, id ? "" : ", no queue of a device");
}

static void measure_waits(void)
{
	static struct section s = {.key = "waits", .sockets = 1, .bytes = REQUEST_BYTES, .rows = WAITS,
	                           .figure = {"p50_us", "p99_us", "busy_percent", "idle_percent"}};
	static char title[256], napi[64];
	struct waiter waiters[WAITS] = {0};
	alarm(WATCHDOG_SECONDS);
	struct crowd c = assemble(WAITS, 0, true, ask);
	for (int i = 0; i < WAITS; i++) {
		s.row[i].name = wait_names[i];
		waiters[i] = (struct waiter){.how = i, .fd = c.fd[i], .row = &s.row[i]};
		waiter_open(&waiters[i]);
	}
	for (long round = 0; round <= options.rounds; round++) {
		for (int i = 0; i < WAITS; i++) {
			int k = (i + round) % WAITS;
			waiter_run(&waiters[k], &c, k + 1, round > 0);
		}
	}
	busy_polled(&c, napi, sizeof napi);
	for (int i = 0; i < WAITS; i++) {
		ring_close(&waiters[i].ring);
		if (waiters[i].epoll)
			close(waiters[i].epoll);
	}
	dissolve(&c);
	snprintf(title, sizeof title, "a request of %d bytes and its answer, %ld us apart; then %ld ms without one (SO_INCOMING_NAPI_ID: %s)",
	         REQUEST_BYTES, options.gap_us, options.quiet_ms, napi);
	s.title = title;
	report(&s);
}

/* ---- all of it ---- */

static void measure_sizes(void)
{
	static const long sizes[] = {512, 4096, 16384, 65536};
	int sockets = options.crowds[0] < SIZES_SOCKETS ? options.crowds[0] : SIZES_SOCKETS;
	long deliveries = options.deliveries / SIZES_SHARE > 0 ? options.deliveries / SIZES_SHARE : 1;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct section s = {.key = "size", .sockets = sockets, .bytes = sizes[i]};
		char title[128];
		snprintf(title, sizeof title, "%ld bytes to each of %d sockets", s.bytes, s.sockets);
		s.title = title;
		measure_ways(&s, size_ways, sizeof size_ways / sizeof size_ways[0], SIZES_RCVBUF, deliveries);
	}
}

static void measure_fans(void)
{
	for (int i = 0; i < options.crowd_count; i++) {
		struct section s = {.key = "fanout", .sockets = options.crowds[i], .bytes = options.bytes};
		char title[128];
		snprintf(title, sizeof title, "fan-out of one frame of %ld bytes to %d sockets, a delivery", s.bytes, s.sockets);
		s.title = title;
		measure_ways(&s, fan_ways, sizeof fan_ways / sizeof fan_ways[0], 0, options.deliveries);
	}
}

static void begin(struct utsname *host)
{
	static char text[128];
	struct sigaction action = {.sa_handler = stuck};
	if (uname(host) < 0)
		die("uname");
	if (sigaction(SIGALRM, &action, NULL) < 0)
		die("sigaction");
	signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	pin("reader-cpu", options.reader_cpu); /* refused now, if it is, and not by the other process */
	pin("writer-cpu", options.writer_cpu);
	put_off[0] = put_off_open(options.writer_cpu), put_off[1] = put_off_open(options.reader_cpu);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	frame = mmap(NULL, MAX_FRAME, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || frame == MAP_FAILED)
		die("mmap");
	memset(frame, 'x', MAX_FRAME);
	printf("Linux %s, writer on CPU %ld, reader on CPU %ld (%s), %ld rounds; kernel.io_uring_disabled %s", host->release,
	       options.writer_cpu, options.reader_cpu, options.reader_blocks ? "blocks" : "spins", options.rounds,
	       first_line("/proc/sys/kernel/io_uring_disabled", text, sizeof text));
	printf(", net.core.busy_poll %s", first_line("/proc/sys/net/core/busy_poll", text, sizeof text));
	printf(", load %s\n", first_line("/proc/loadavg", text, sizeof text));
}

static void save(const char *results)
{
	FILE *f = fopen(options.json, "we");
	if (!f)
		die(options.json);
	bool failed = fputs(results, f) < 0;
	if (fclose(f) < 0 || failed)
		die(options.json);
}

static bool wanted(const char *section) { return !options.only || !strcmp(options.only, section); }

int main(int argc, char **argv)
{
	struct utsname host;
	char *results = NULL, load[128];
	size_t size = 0;

	parse(argc, argv);
	begin(&host);
	if (!(json = open_memstream(&results, &size)))
		die("open_memstream");
	fprintf(json,
	        "{\"kernel\":\"%s\",\"writer_cpu\":%ld,\"reader_cpu\":%ld,\"reader\":\"%s\",\"rounds\":%ld,\"deliveries\":%ld,"
	        "\"requests\":%ld,\"gap_us\":%ld,\"loadavg\":\"%s\",\"sections\":[",
	        host.release, options.writer_cpu, options.reader_cpu, options.reader_blocks ? "block" : "spin", options.rounds,
	        options.deliveries, options.requests, options.gap_us, first_line("/proc/loadavg", load, sizeof load));
	struct account before = account();

	if (wanted("bare"))
		bare();
	if (wanted("fanout"))
		measure_fans();
	if (wanted("size"))
		measure_sizes();
	if (wanted("waits"))
		measure_waits();

	struct account after = account();
	double all = after.all - before.all > 0 ? after.all - before.all : 1;
	double steal = 100 * (after.steal - before.steal) / all;
	double others = 100 * (all - (after.idle - before.idle) - (after.steal - before.steal) - (after.own - before.own)) / all;
	printf("\nothers used %.1f %% of the machine meanwhile, steal %.1f %%, load %s\n", others, steal,
	       first_line("/proc/loadavg", load, sizeof load));
	fprintf(json, "\n],\"others_percent\":%.2f,\"steal_percent\":%.2f,\"loadavg_after\":\"%s\"}\n", others, steal, load);
	if (fclose(json) < 0)
		die("results");
	if (options.json)
		save(results);
	free(results);
	if (fflush(stdout) == EOF || ferror(stdout))
		die("standard output");
	return 0;
}
