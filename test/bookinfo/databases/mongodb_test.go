// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

// What the stand-in can't do it refuses, and says what.
func TestRefuses(t *testing.T) {
	host, port := newMongo(t)
	c, err := openMongo("mongodb://"+net.JoinHostPort(host, port), generous)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Disconnect(t.Context()) }()
	set := bson.D{{Key: "$set", Value: bson.D{{Key: "rating", Value: 1}}}}
	for name, test := range map[string]struct {
		command bson.D
		code    int32
		says    string
	}{
		"Unknown":       {bson.D{{Key: "aggregate", Value: "ratings"}}, 59, `"aggregate"`},
		"Sort":          {bson.D{{Key: "find", Value: "ratings"}, {Key: "sort", Value: bson.D{{Key: "rating", Value: 1}}}}, 238, "find.sort"},
		"Operator":      {bson.D{{Key: "find", Value: "ratings"}, {Key: "filter", Value: bson.D{{Key: "rating", Value: bson.D{{Key: "$gt", Value: 1}}}}}}, 2, "filter: rating"},
		"Or":            {bson.D{{Key: "find", Value: "ratings"}, {Key: "filter", Value: bson.D{{Key: "$or", Value: bson.A{}}}}}, 2, "filter: $or"},
		"Increment":     {bson.D{{Key: "update", Value: "ratings"}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: bson.D{}}, {Key: "u", Value: bson.D{{Key: "$inc", Value: bson.D{}}}}}}}}, 238, "$set only"},
		"Upsert":        {bson.D{{Key: "update", Value: "ratings"}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: bson.D{}}, {Key: "u", Value: set}, {Key: "upsert", Value: true}}}}}, 238, "updates.upsert"},
		"Collation":     {bson.D{{Key: "update", Value: "ratings"}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: bson.D{}}, {Key: "u", Value: set}, {Key: "collation", Value: bson.D{}}}}}}, 238, "updates.collation"},
		"DeleteHint":    {bson.D{{Key: "delete", Value: "ratings"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{}}, {Key: "limit", Value: 0}, {Key: "hint", Value: "x"}}}}}, 238, "deletes.hint"},
		"NotADocument":  {bson.D{{Key: "insert", Value: "ratings"}, {Key: "documents", Value: bson.A{1}}}, 2, "documents: want documents"},
		"DeletesWhat":   {bson.D{{Key: "delete", Value: "ratings"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "$and", Value: bson.A{}}}}, {Key: "limit", Value: 0}}}}}, 2, "deletes.q: $and"},
		"UpdatesWhat":   {bson.D{{Key: "update", Value: "ratings"}, {Key: "updates", Value: bson.A{"all"}}}, 2, "updates: want documents"},
		"FindOfManyAsk": {bson.D{{Key: "find", Value: "ratings"}, {Key: "projection", Value: bson.D{}}}, 238, "find.projection"},
	} {
		var refusal mongo.CommandError
		err := c.Database(databaseName).RunCommand(t.Context(), test.command).Err()
		if !errors.As(err, &refusal) || refusal.Code != test.code || !strings.Contains(refusal.Message, test.says) {
			t.Errorf("%s: got %v, want code %d and %q", name, err, test.code, test.says)
		}
	}
	// None of it changed anything.
	if stars, _, err := fromMongo("mongodb://"+net.JoinHostPort(host, port), generous)(t.Context()); err != nil || len(stars) != 2 || stars[0] != 5 {
		t.Errorf("%v, %v", stars, err)
	}
}

// asked is a message with a command, in each of the two forms.
func asked(t *testing.T, opcode wiremessage.OpCode, command bson.D) []byte {
	t.Helper()
	document, err := bson.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	_, out := wiremessage.AppendHeaderStart(nil, 1, 0, opcode)
	if opcode == opQuery {
		out = append(out, "\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"...)
	} else {
		out = wiremessage.AppendMsgFlags(out, 0)
		out = wiremessage.AppendMsgSectionType(out, wiremessage.SingleDocument)
	}
	out = append(out, document...)
	binary.LittleEndian.PutUint32(out, uint32(len(out)))
	return out
}

// No bytes make the server fall over, or keep them for ever: it hangs up.
func TestGarbledMessages(t *testing.T) {
	good := [][]byte{
		asked(t, opQuery, bson.D{{Key: "isMaster", Value: 1}}),
		asked(t, wiremessage.OpMsg, bson.D{{Key: "find", Value: "ratings"}, {Key: "$db", Value: "test"}}),
	}
	talk := func(bytesIn []byte) ([]byte, error) {
		var out bytes.Buffer
		err := converse(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(bytesIn), &out}, ratedDocuments())
		return out.Bytes(), err
	}
	for i, m := range good {
		if out, err := talk(m); !errors.Is(err, io.EOF) || len(out) < 2*headerSize {
			t.Errorf("message %d: %d bytes, %v", i, len(out), err)
		}
	}
	huge := bytes.Clone(good[0])
	binary.LittleEndian.PutUint32(huge, 1<<31-1)
	negative := bytes.Clone(good[0])
	binary.LittleEndian.PutUint32(negative, 1<<31)
	short := bytes.Clone(good[0])
	binary.LittleEndian.PutUint32(short, headerSize-1)
	for name, m := range map[string][]byte{
		"Short": short, "Huge": huge, "Negative": negative, "Cut": good[1][:len(good[1])-3], "HTTP": []byte("GET / HTTP/1.1\r\nHost: mongodb\r\n\r\n"),
	} {
		if out, err := talk(m); err == nil || errors.Is(err, io.EOF) || len(out) > 0 {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
	draw := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		m := bytes.Clone(good[draw.IntN(len(good))])
		for range 1 + draw.IntN(4) {
			m[headerSize+draw.IntN(len(m)-headerSize)] = byte(draw.Uint32())
		}
		if _, err := talk(m); err == nil {
			t.Fatalf("%x: the conversation goes on without a client", m)
		}
	}
}
