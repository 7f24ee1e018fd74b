package config

import (
	"reflect"
	"slices"
)

// Reloaded merges a freshly loaded configuration into the running one.
//
// merged has every key of next that SIGHUP may change and the running value of
// all others. changed names the keys that took effect (an array of tables by
// its section's name), fixed those that differ and need a restart. The error,
// Faults, says that the two parts do not fit each other; the running
// configuration then stays.
func (c *Config) Reloaded(next *Config) (merged *Config, changed, fixed []string, err error) {
	kept := *c
	merged = &kept
	from, to := reflect.ValueOf(next).Elem(), reflect.ValueOf(merged).Elem()
	for _, sec := range newSchema().sections {
		source, target := from.Field(sec.field), to.Field(sec.field)
		if sec.array { // every array of tables can be reloaded as a whole
			if !reflect.DeepEqual(source.Interface(), target.Interface()) {
				changed = append(changed, sec.name)
				target.Set(source)
			}
			continue
		}
		for _, k := range sec.keys {
			v := k.load(source)
			switch {
			case k.same(v, k.load(target)):
			case k.reload:
				changed = append(changed, k.path())
				k.store(target, v)
			default:
				fixed = append(fixed, k.path())
			}
		}
	}
	if c.AdminToken != next.AdminToken && !slices.Contains(fixed, "admin.token_file") {
		fixed = append(fixed, "admin.token_file")
	}
	merged.prov = next.prov
	var faults Faults
	if merged.check(&faults, false); len(faults) > 0 {
		return nil, nil, nil, faults
	}
	return merged, changed, fixed, nil
}
