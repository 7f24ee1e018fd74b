// Package holdfast is the root of the module and holds no code. The program is
// cmd/holdfast; the tests here keep the order of the rooms, see imports_test.go.
package holdfast
