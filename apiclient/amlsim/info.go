package amlsim

import "strings"

// obj is a JSON object; its members come out in alphabetical order.
type obj map[string]any

const (
	documentName = "jsonData"
	reportName   = "aml-report"
)

// entity is one result of a session as the session information shows it.
type entity struct{ name, status, link string }

// sessionInfo renders the session information.
func (s *Simulator) sessionInfo(ex *exchange, id string, sess session, p progress) any {
	entities := []entity{{documentName, p.document, s.link(ex, id, "json", p.document)}}
	draw := bits(s.cfg.Seed, drawShape, uint64(sess.person), uint64(sess.ordinal))
	switch {
	case sess.flags&reportOrdered != 0:
		entities = append(entities, entity{reportName, p.report, s.link(ex, id, "report/aml", p.report)})
	case !s.cfg.Plain && draw%8 == 1:
		// Whether a report that nobody ordered shows up is not documented.
		entities = append(entities, entity{name: reportName, status: statusNotStarted})
	}
	whole := ""
	if p.failed {
		whole = statusFailed
	}
	if a := ex.action(ActLiteral); a != nil {
		whole, entities = overrideStatus(a, whole, entities)
	}
	info := s.shapeInfo(id, whole, entities, draw)
	if !s.cfg.Plain && draw%4 == 0 {
		info["estimatedSecondsLeft"] = nil
		info["x-trace"] = obj{"node": draw % 7, "notes": []string{"new members may appear at any time"}}
	}
	return info
}

// overrideStatus puts the literal of a fault in the place of what is true.
func overrideStatus(a *Action, whole string, entities []entity) (string, []entity) {
	if a.Entity == EntitySession {
		return a.Literal, entities
	}
	for i := range entities {
		if a.Entity == "" || a.Entity == entities[i].name {
			entities[i].status = a.Literal
		}
	}
	return whole, entities
}

func (s *Simulator) shapeInfo(id, whole string, entities []entity, draw uint64) obj {
	shape := s.cfg.Shape
	if shape == ShapeMixed {
		shape = []Shape{ShapeFlat, ShapeNested, ShapeList}[(draw>>8)%3]
	}
	info := obj{}
	switch shape {
	case ShapeFlat:
		for _, e := range entities {
			info[e.name] = e.status
		}
	case ShapeList:
		info["sessionId"] = id
		results := []obj{}
		for _, e := range entities {
			item := obj{"name": e.name, "status": e.status}
			if e.link != "" {
				item["link"] = e.link
			}
			results = append(results, item)
		}
		info["results"] = results
	default:
		info["sessionId"] = id
		for _, e := range entities {
			item := obj{"status": e.status, "href": nil}
			if e.link != "" {
				item["href"] = e.link
			}
			info[e.name] = item
		}
	}
	if whole != "" {
		info["status"] = whole
	}
	return info
}

// link returns the address of an entity, "" while it is not ready or if none are given.
func (s *Simulator) link(ex *exchange, id, tail, status string) string {
	if status != statusReady {
		return ""
	}
	path := s.cfg.BasePath + "/person/session/" + ex.country + "/" + id + "/" + tail
	switch s.cfg.Links {
	case LinksNone:
		return ""
	case LinksPath:
		return path
	case LinksRelative:
		// Resolved against …/{country}/{id}, whose last segment it replaces.
		return path[strings.LastIndex(path, id):]
	case LinksForeign:
		return "https://reports.example.invalid" + path
	default:
		return ex.base + path
	}
}
