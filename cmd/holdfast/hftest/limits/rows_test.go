package limits

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// rows are the rows of the table in docs/limits.md, by the beginning of their first
// cell, and the test of each.
var rows = []struct{ row, test string }{
	{"`handshake_timeout`", "TestLimitHandshakeTimeout"},
	{"`request_line_bytes`, `head_bytes`, `head_count`", "TestLimitHead"},
	{"`admission.half_open_per_ip`", "TestLimitHalfOpen"},
	{"`admission.accept_rate`, `.max_connections`, `.memory_bytes`", "TestLimitAdmission"},
	{"`apps.max_connections`", "TestLimitAppConnections"},
	{"`apps.allowed_origins`; unknown key; disabled app", "TestLimitOriginKeyApp"},
	{"`message_bytes`, `fragments`, `message_time`", "TestLimitMessage"},
	{"messages of more than 64 KiB", "TestLimitLargeMessages"},
	{"`frames_per_second`", "TestLimitFrames"},
	{"`frames_per_second`", "TestLimitControlFrames"},
	{"a frame that is not a message of the protocol", "TestLimitUnparsable"},
	{"`subscriptions`", "TestLimitSubscriptions"},
	{"`subscribes_per_second`", "TestLimitSubscribesPerSecond"},
	{"`client_events_per_second`", "TestLimitClientEvents"},
	{"`channel_name_bytes`", "TestLimitChannelName"},
	{"`user_id_bytes`, `user_info_bytes`; `presence_members`", "TestLimitUser"},
	{"`user_id_bytes`, `user_info_bytes`; `presence_members`", "TestLimitPresenceMembers"},
	{"`watchlist`", "TestLimitWatchlist"},
	{"`event_name_bytes`; `event_data_bytes`; `body_bytes`", "TestLimitEvent"},
	{"`event_channels`; `batch_events`", "TestLimitEventChannels"},
	{"`event_channels`; `batch_events`", "TestLimitBatchEvents"},
	{"`auth_window`", "TestLimitAuthWindow"},
	{"`api_events_per_second`", "TestLimitAPIRate"},
	{"`queue_bytes`, `queue_messages`", "TestLimitQueue"},
	{"`recover_events`", "TestLimitRecover"},
	{"`door_channels`", "TestLimitDoorChannels"},
	{"`durable_waiting`", "TestLimitDurableWaiting"},
	{"the log cannot write", "TestLimitLogCannotWrite"},
	{"silence: `server.activity_timeout`", "TestLimitSilence"},
}

// Every row of the documented table has a test here, and every test a row.
func TestEveryRowHasItsTest(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	used := map[int]bool{}
	_, table, _ := strings.Cut(string(doc), "|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	count := 0
	for line := range strings.Lines(table) {
		count++
		cell := strings.TrimSpace(strings.TrimPrefix(line, "|"))
		found := false
		for i, r := range rows {
			if strings.HasPrefix(cell, r.row) {
				used[i], found = true, true
				if !slices.Contains(tests, r.test) {
					t.Errorf("%s is the test of %q and does not exist", r.test, r.row)
				}
			}
		}
		if !found {
			t.Errorf("no test for the row %.60q", cell)
		}
	}
	if count < 20 {
		t.Errorf("only %d rows found in docs/limits.md", count)
	}
	for i, r := range rows {
		if !used[i] {
			t.Errorf("%s belongs to %q, which is no row", r.test, r.row)
		}
	}
}

// testNames are the test functions of this package.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	files, err := fs.Glob(os.DirFS("."), "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
