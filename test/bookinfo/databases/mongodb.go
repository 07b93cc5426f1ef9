// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/pflag"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// runMongo is a MongoDB server with the stars of the book. It takes the
// arguments that upstream's manifest gives.
func runMongo(ctx context.Context, p process) error {
	flags := pflag.NewFlagSet("mongodb", pflag.ContinueOnError)
	flags.SetOutput(p.stderr)
	all := flags.Bool("bind_ip_all", false, "listen on all addresses instead of the loopback only")
	six := flags.Bool("ipv6", false, "listen on IPv6 too")
	port := flags.String("port", "27017", "where it listens")
	if err := flags.Parse(p.args); err != nil {
		return err
	}
	network, host := "tcp4", "127.0.0.1"
	if *all {
		host = ""
	}
	if *six {
		network = "tcp"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, net.JoinHostPort(host, *port))
	if err != nil {
		return err
	}
	return serveMongo(ctx, listener, p.stdout)
}

// ratedDocuments is what upstream's image of MongoDB starts with.
func ratedDocuments() *collections {
	kept := &collections{kept: map[string][]bson.D{}}
	for _, stars := range []int32{5, 4} {
		kept.add(databaseName+"."+tableName, bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "rating", Value: stars}})
	}
	return kept
}

// serveMongo answers until the context ends.
func serveMongo(ctx context.Context, listener net.Listener, log io.Writer) error {
	fmt.Fprintf(log, "mongodb answers on %s\n", listener.Addr())
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	kept := ratedDocuments()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			end := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer end()
			if err := converse(conn, kept); err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
				fmt.Fprintf(log, "%s: %v\n", conn.RemoteAddr(), err)
			}
		}()
	}
}

// converse answers one client until it leaves.
func converse(conn io.ReadWriter, kept *collections) error {
	in := bufio.NewReader(conn)
	for {
		asked, err := readMessage(in)
		if err != nil {
			return err
		}
		answer, err := bson.Marshal(kept.answer(asked.command))
		if err != nil {
			return err
		}
		if asked.silent {
			continue
		}
		if _, err := conn.Write(asked.reply(answer)); err != nil {
			return err
		}
	}
}
