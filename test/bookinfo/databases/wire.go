// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

const (
	headerSize = 16
	// maxMessage is how long a message may be, as MongoDB has it.
	maxMessage = 48000000
	// opQuery is OP_QUERY, which is for greetings only by now.
	opQuery = wiremessage.OpCode(2004)
)

var errGarbled = errors.New("not a message of MongoDB's protocol")

// message is a command that a client sends.
type message struct {
	id     int32
	opcode wiremessage.OpCode
	// command is the command's document; documents that came beside it are in
	// it as an array.
	command bson.D
	// silent is that the client wants no answer.
	silent bool
}

func readMessage(in io.Reader) (message, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(in, header); err != nil {
		return message{}, err
	}
	length, id, _, opcode, _, ok := wiremessage.ReadHeader(header)
	if !ok || length < headerSize || length > maxMessage {
		return message{}, errGarbled
	}
	body := make([]byte, length-headerSize)
	if _, err := io.ReadFull(in, body); err != nil {
		return message{}, err
	}
	m := message{id: id, opcode: opcode}
	var err error
	switch opcode {
	case wiremessage.OpMsg:
		m.command, m.silent, err = readSections(body)
	case opQuery:
		m.command, err = readQuery(body)
	default:
		err = fmt.Errorf("opcode %d: want OP_MSG, or OP_QUERY for the greeting", opcode)
	}
	return m, err
}

// readSections reads an OP_MSG: a document, and sequences of documents.
func readSections(body []byte) (command bson.D, silent bool, err error) {
	flags, rest, ok := wiremessage.ReadMsgFlags(body)
	if !ok {
		return nil, false, errGarbled
	}
	if flags&wiremessage.ChecksumPresent != 0 {
		if len(rest) < 4 {
			return nil, false, errGarbled
		}
		rest = rest[:len(rest)-4]
	}
	for len(rest) > 0 {
		var kind wiremessage.SectionType
		if kind, rest, ok = wiremessage.ReadMsgSectionType(rest); !ok {
			return nil, false, errGarbled
		}
		switch kind {
		case wiremessage.SingleDocument:
			var one bsoncore.Document
			if one, rest, ok = wiremessage.ReadMsgSectionSingleDocument(rest); !ok {
				return nil, false, errGarbled
			}
			var d bson.D
			if err := bson.Unmarshal(one, &d); err != nil {
				return nil, false, err
			}
			// The command's name is its first field, wherever it stands.
			command = append(d, command...)
		case wiremessage.DocumentSequence:
			var name string
			var several []bsoncore.Document
			if name, several, rest, ok = wiremessage.ReadMsgSectionDocumentSequence(rest); !ok {
				return nil, false, errGarbled
			}
			var all bson.A
			for _, one := range several {
				var d bson.D
				if err := bson.Unmarshal(one, &d); err != nil {
					return nil, false, err
				}
				all = append(all, d)
			}
			command = append(command, bson.E{Key: name, Value: all})
		default:
			return nil, false, errGarbled
		}
	}
	return command, flags&wiremessage.MoreToCome != 0, nil
}

// readQuery reads an OP_QUERY, by which clients greet a server that they don't
// know: flags, a name that ends with a zero, two numbers and the command.
func readQuery(body []byte) (bson.D, error) {
	if len(body) < 4 {
		return nil, errGarbled
	}
	_, rest, ended := bytes.Cut(body[4:], []byte{0})
	if !ended || len(rest) < 8 {
		return nil, errGarbled
	}
	query, _, ok := bsoncore.ReadDocument(rest[8:])
	if !ok {
		return nil, errGarbled
	}
	var command bson.D
	err := bson.Unmarshal(query, &command)
	return command, err
}

// reply is the answer to a message, in the form in which it was asked.
func (m message) reply(answer []byte) []byte {
	if m.opcode == opQuery {
		start, out := wiremessage.AppendHeaderStart(nil, wiremessage.NextRequestID(), m.id, wiremessage.OpReply)
		out = wiremessage.AppendReplyFlags(out, wiremessage.AwaitCapable)
		out = wiremessage.AppendReplyCursorID(out, 0)
		out = wiremessage.AppendReplyStartingFrom(out, 0)
		out = wiremessage.AppendReplyNumberReturned(out, 1)
		return bsoncore.UpdateLength(append(out, answer...), start, int32(len(out)+len(answer)))
	}
	start, out := wiremessage.AppendHeaderStart(nil, wiremessage.NextRequestID(), m.id, wiremessage.OpMsg)
	out = wiremessage.AppendMsgFlags(out, 0)
	out = wiremessage.AppendMsgSectionType(out, wiremessage.SingleDocument)
	return bsoncore.UpdateLength(append(out, answer...), start, int32(len(out)+len(answer)))
}
