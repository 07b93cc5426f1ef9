// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Codes by which MongoDB names what is wrong with a command.
const (
	codeBadValue        = 2
	codeFailedToParse   = 9
	codeCommandNotFound = 59
	codeNotImplemented  = 238
)

// refused is the answer to a command that can't be carried out.
func refused(code int32, format string, args ...any) bson.D {
	return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: fmt.Sprintf(format, args...)}, {Key: "code", Value: code}}
}

func done(fields ...bson.E) bson.D { return append(bson.D(fields), bson.E{Key: "ok", Value: 1.0}) }

// collections are the documents of a server, by database and collection.
type collections struct {
	mu   sync.Mutex
	kept map[string][]bson.D
}

func (c *collections) add(collection string, document bson.D) {
	c.kept[collection] = append(c.kept[collection], document)
}

// command is a document whose first field names the command.
type command struct {
	name, collection string
	fields           map[string]any
}

// common are fields that any command may have and that change nothing here:
// there is one server with one copy, which answers at once and in one piece.
var common = []string{
	"$db", "lsid", "$clusterTime", "$readPreference", "apiVersion", "comment", "maxTimeMS", "writeConcern", "readConcern",
	"ordered", "singleBatch", "batchSize",
}

// understood are the commands, each with the fields that it takes; greetings
// take any, since clients tell much of themselves in them.
var understood = map[string][]string{
	"hello": nil, "isMaster": nil, "ismaster": nil,
	"ping": {}, "buildInfo": {}, "endSessions": {},
	"find": {"filter", "limit"}, "insert": {"documents"}, "update": {"updates"}, "delete": {"deletes"}, "drop": {},
}

// answer carries out a command. What it doesn't understand it refuses, by name.
func (c *collections) answer(asked bson.D) bson.D {
	if len(asked) == 0 {
		return refused(codeFailedToParse, "an empty command")
	}
	does := command{name: asked[0].Key, fields: map[string]any{}}
	takes, known := understood[does.name]
	if !known {
		return refused(codeCommandNotFound, "no such command: %q; this server is a stand-in for samples", does.name)
	}
	for _, field := range asked {
		if takes != nil && field.Key != does.name && !slices.Contains(takes, field.Key) && !slices.Contains(common, field.Key) {
			return refused(codeNotImplemented, "%s.%s: this server is a stand-in for samples and has no such field", does.name, field.Key)
		}
		does.fields[field.Key] = field.Value
	}
	database, _ := does.fields["$db"].(string)
	name, _ := asked[0].Value.(string)
	does.collection = database + "." + name
	c.mu.Lock()
	defer c.mu.Unlock()
	switch does.name {
	case "hello", "isMaster", "ismaster":
		return greeting()
	case "buildInfo":
		return done(bson.E{Key: "version", Value: "7.0.0"})
	case "find":
		return c.find(does)
	case "insert":
		return c.insert(does)
	case "update":
		return c.update(does)
	case "delete":
		return c.remove(does)
	case "drop":
		delete(c.kept, does.collection)
	}
	return done()
}

// greeting says that this is a server of its own, of the protocol of version 7.
func greeting() bson.D {
	return done(
		bson.E{Key: "helloOk", Value: true}, bson.E{Key: "ismaster", Value: true}, bson.E{Key: "isWritablePrimary", Value: true},
		bson.E{Key: "maxBsonObjectSize", Value: int32(16 << 20)}, bson.E{Key: "maxMessageSizeBytes", Value: int32(maxMessage)},
		bson.E{Key: "maxWriteBatchSize", Value: int32(100000)}, bson.E{Key: "localTime", Value: bson.NewDateTimeFromTime(time.Now())},
		bson.E{Key: "minWireVersion", Value: int32(0)}, bson.E{Key: "maxWireVersion", Value: int32(21)}, bson.E{Key: "readOnly", Value: false},
	)
}

func (c *collections) find(does command) bson.D {
	filter, err := equalities(does.fields["filter"])
	if err != nil {
		return refused(codeBadValue, "filter: %v", err)
	}
	limit, _ := whole(does.fields["limit"])
	batch := bson.A{}
	for _, d := range c.kept[does.collection] {
		if matches(d, filter) && (limit <= 0 || len(batch) < int(limit)) {
			batch = append(batch, d)
		}
	}
	return done(bson.E{Key: "cursor", Value: bson.D{{Key: "firstBatch", Value: batch}, {Key: "id", Value: int64(0)}, {Key: "ns", Value: does.collection}}})
}

func (c *collections) insert(does command) bson.D {
	all, err := documents(does.fields["documents"])
	if err != nil {
		return refused(codeBadValue, "documents: %v", err)
	}
	for _, d := range all {
		if _, has := valueOf(d, "_id"); !has {
			d = append(bson.D{{Key: "_id", Value: bson.NewObjectID()}}, d...)
		}
		c.add(does.collection, d)
	}
	return done(bson.E{Key: "n", Value: int32(len(all))})
}

func (c *collections) update(does command) bson.D {
	all, err := documents(does.fields["updates"])
	if err != nil {
		return refused(codeBadValue, "updates: %v", err)
	}
	var matched, modified int32
	for _, one := range all {
		if extra := otherThan(one, "q", "u", "multi", "upsert"); extra != "" {
			return refused(codeNotImplemented, "updates.%s: this server is a stand-in for samples and has no such field", extra)
		}
		q, _ := valueOf(one, "q")
		filter, err := equalities(q)
		if err != nil {
			return refused(codeBadValue, "updates.q: %v", err)
		}
		u, _ := valueOf(one, "u")
		operators, _ := u.(bson.D)
		if len(operators) != 1 || operators[0].Key != "$set" {
			return refused(codeNotImplemented, "updates.u: this server is a stand-in for samples and knows $set only")
		}
		set, _ := operators[0].Value.(bson.D)
		if upsert, _ := valueOf(one, "upsert"); upsert == true {
			return refused(codeNotImplemented, "updates.upsert: this server is a stand-in for samples and doesn't insert on updates")
		}
		multi, _ := valueOf(one, "multi")
		for i, d := range c.kept[does.collection] {
			if !matches(d, filter) {
				continue
			}
			matched++
			if changed := with(d, set); !matches(d, set) {
				c.kept[does.collection][i] = changed
				modified++
			}
			if multi != true {
				break
			}
		}
	}
	return done(bson.E{Key: "n", Value: matched}, bson.E{Key: "nModified", Value: modified})
}

func (c *collections) remove(does command) bson.D {
	all, err := documents(does.fields["deletes"])
	if err != nil {
		return refused(codeBadValue, "deletes: %v", err)
	}
	var removed int32
	for _, one := range all {
		if extra := otherThan(one, "q", "limit"); extra != "" {
			return refused(codeNotImplemented, "deletes.%s: this server is a stand-in for samples and has no such field", extra)
		}
		q, _ := valueOf(one, "q")
		filter, err := equalities(q)
		if err != nil {
			return refused(codeBadValue, "deletes.q: %v", err)
		}
		// A limit of 1 takes the first; none, or 0, takes all.
		limit, _ := valueOf(one, "limit")
		most, _ := whole(limit)
		var taken int64
		c.kept[does.collection] = slices.DeleteFunc(c.kept[does.collection], func(d bson.D) bool {
			hit := matches(d, filter) && (most == 0 || taken < most)
			if hit {
				taken++
			}
			return hit
		})
		removed += int32(taken)
	}
	return done(bson.E{Key: "n", Value: removed})
}
