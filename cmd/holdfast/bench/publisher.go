package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/router/auth"
)

const (
	// lateAfter is how long after its time a publish counts as late.
	lateAfter = time.Millisecond
	// answerTimeout bounds a publish from its sending to the answer's end.
	answerTimeout = 30 * time.Second
	// redialAfter is how long a publisher that could not connect waits.
	redialAfter = 100 * time.Millisecond
	// groupChannels is how many channels one request may name, with every server.
	groupChannels = 100
)

// published is what the publisher counts.
type published struct {
	Due      int64            // events that were to be published
	Sent     int64            // requests that were written
	Answered int64            // with 200
	Failed   int64            // with another status, or not at all
	Unsent   int64            // still not sent at the end
	Late     int64            // sent more than lateAfter after their time
	MaxLate  time.Duration    //
	Began    int64            // ns: when the first was due
	Ended    int64            // ns: the last answer
	Reasons  map[string]int64 // of the failed
	Samples  []string
	Answer   Histogram // due to answer
	Open     int       // connections, the most at a time
}

// publisher publishes on a goroutine of its own, over keep-alive connections that
// each have one request under way. The n-th publish is due at its time whether or
// not those before were answered: more connections are opened, up to a bound.
type publisher struct {
	p       *Params
	plan    plan
	target  *target
	board   *board
	run     runID
	clock   clock
	now     func() time.Time // wall clock, for signatures
	sign    *auth.Credentials
	address unix.Sockaddr
	epoll   int

	all      int     // publishes in all
	interval float64 // ns between two; 0: all at once
	group    int     // channels of one publish

	conns   []*apiConn
	events  []unix.EpollEvent
	in      []byte
	next    int // publishes begun
	redial  int64
	looked  int64
	result  published
	scratch []byte
}

// newPublisher makes one that publishes all events of a run, all = the number, at a
// rate per second (0: at once), in turn to each channel.
func (c *crew) newPublisher(all int, rate float64, group int) (*publisher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("bench: epoll_create1: %w", err)
	}
	p := &publisher{
		p: &c.params, plan: c.params.plan(), target: c.target, board: c.board, run: c.run, clock: c.clock, now: time.Now,
		sign: auth.NewCredentials(c.params.AppKey, c.params.AppSecret), address: sockaddr(c.target.destinations[0], c.target.port),
		epoll: epoll, all: all, group: group, events: make([]unix.EpollEvent, maxPublishers), in: make([]byte, 64<<10),
	}
	if rate > 0 {
		p.interval = 1e9 / rate
	}
	p.result.Due, p.result.Reasons = int64(all), map[string]int64{}
	return p, nil
}

// work publishes until all is answered, nothing more can be hoped for, or ctx or
// the run ends.
func (p *publisher) work(ctx context.Context) (*published, error) {
	defer unix.Close(p.epoll)
	defer p.close()
	began := p.clock.now()
	p.result.Began = began
	end := began + int64(p.interval*float64(p.all)) + int64(p.p.Grace)
	for {
		now := p.clock.now()
		if ctx.Err() != nil || p.board.stopped() {
			break
		}
		p.send(now, began)
		if p.next == p.all && p.busy() == 0 || now > end && (p.next < p.all || now > end+int64(answerTimeout)) {
			break
		}
		p.expire(now)
		if err := p.poll(p.pause(now, began)); err != nil {
			return nil, err
		}
	}
	for _, c := range p.conns {
		if c.state == apiBusy && !p.board.stopped() {
			p.fail(c, "no answer at the end", "")
		}
	}
	p.result.Unsent = int64(p.all - p.next)
	return &p.result, nil
}

func (p *publisher) dueAt(n int, began int64) int64 { return began + int64(float64(n)*p.interval) }

// send sends what is due, as far as there are connections.
func (p *publisher) send(now, began int64) {
	for p.next < p.all && p.dueAt(p.next, began) <= now {
		c := p.idle()
		if c == nil {
			if len(p.conns) < p.p.Publishers && p.dialing() == 0 && now >= p.redial {
				p.dial(now)
			}
			return
		}
		due := p.dueAt(p.next, began)
		if late := since(due, now); late > lateAfter {
			p.result.Late++
			p.result.MaxLate = max(p.result.MaxLate, late)
		}
		first := p.next * p.group % p.p.Channels
		p.next++
		p.publish(c, first, min(p.group, p.p.Channels-first), due, now)
	}
}

// publish sends one event to n channels from first on.
func (p *publisher) publish(c *apiConn, first, n int, due, now int64) {
	number := p.board.startedOn(first) + 1
	body := append(p.scratch[:0], `{"name":"`+eventName+`","channels":[`...)
	for channel := first; channel < first+n; channel++ {
		if channel > first {
			body = append(body, ',')
		}
		body = append(p.plan.appendName(append(body, '"'), channel), '"')
	}
	body = append(body, `],"data":"`...)
	body = appendPayload(body, p.run, payload{number: number, after: p.board.answeredOn(first), due: due}, p.p.PublishSize)
	body = append(body, `"}`...)
	p.scratch = body
	path := "/apps/" + p.p.AppID + "/events"
	query := p.sign.SignRequest(auth.Request{Method: "POST", Path: path, Body: body}, p.now())
	request := fmt.Appendf(c.out[:0], "POST %s%s?%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		p.target.prefix, path, query, p.target.host, len(body), body)
	// Before the event can come back: who subscribes from now on need not get it.
	for channel := first; channel < first+n; channel++ {
		p.board.started[channel].Store(number)
	}
	c.state, c.first, c.channels, c.number, c.due, c.deadline = apiBusy, first, n, number, due, now+int64(answerTimeout)
	c.out, c.in = request, c.in[:0]
	p.result.Sent++
	p.flush(c)
}

// answered advances what is known to be with the server, after c's publish ended.
func (p *publisher) answered(c *apiConn) {
	for channel := c.first; channel < c.first+c.channels; channel++ {
		upTo := p.board.startedOn(channel)
		for _, other := range p.conns {
			if other.state == apiBusy && channel >= other.first && channel < other.first+other.channels {
				upTo = min(upTo, other.number-1)
			}
		}
		p.board.answered[channel].Store(upTo)
	}
}

// fail notes that c's publish was not answered 200.
func (p *publisher) fail(c *apiConn, reason, sample string) {
	p.result.Failed++
	count(p.result.Reasons, reason, 1)
	if sample != "" && len(p.result.Samples) < maxSamples {
		p.result.Samples = append(p.result.Samples, sample[:min(len(sample), maxSampleBytes)])
	}
	for channel := c.first; channel < c.first+c.channels; channel++ {
		p.board.fail(channel, c.number)
	}
	c.state = apiIdle
	p.answered(c)
}

// pause is how long nothing is due.
func (p *publisher) pause(now, began int64) time.Duration {
	if p.next < p.all {
		switch due := since(now, p.dueAt(p.next, began)); {
		case due > 0:
			return min(due, idleWait)
		case p.idle() != nil:
			return 0
		}
	}
	return idleWait
}
