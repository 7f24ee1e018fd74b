package router

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-edge/holdfast/frame"
)

// Reload takes new applications and limits into force; the other fields of cfg are
// fixed at New and ignored. Connections of an application that is now disabled or
// gone are closed with 4003. Limits hold from the next message on; what is beyond
// a lowered limit already stays.
func (r *Router) Reload(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	r.reload.Lock()
	defer r.reload.Unlock()
	next, ended, err := r.settings.Load().with(cfg)
	if err != nil {
		return err
	}
	r.settings.Store(next)
	for _, app := range ended {
		r.closeAll(app, frame.AppDisabled)
	}
	return nil
}

// with derives the settings of a configuration from those in force. An application
// is the same as before if its id is. ended lists those that stop serving.
func (old *settings) with(cfg Config) (next *settings, ended []*App, err error) {
	next = &settings{
		limits: cfg.Limits, rules: cfg.History,
		apps: slices.Clone(old.apps),
		byID: map[string]*App{}, byKey: map[string]*App{},
	}
	confs := make([]*appConf, len(cfg.Apps))
	for i, a := range cfg.Apps {
		if confs[i], err = newAppConf(a); err != nil {
			return nil, nil, err
		}
	}
	gone := maps.Clone(old.byID)
	for i, a := range cfg.Apps {
		app := old.byID[a.ID]
		if app == nil {
			if len(next.apps) >= maxApps {
				return nil, nil, fmt.Errorf("router: more than %d applications since the start", maxApps)
			}
			app = newApp(a.ID, len(next.apps))
			next.apps = append(next.apps, app)
		} else if app.Enabled() && !a.Enabled {
			ended = append(ended, app)
		}
		app.conf.Store(confs[i])
		next.byID[a.ID], next.byKey[a.Key] = app, app
		delete(gone, a.ID)
	}
	for _, app := range gone {
		ended = append(ended, app)
	}
	return next, ended, nil
}
