// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
)

const nativePassword = "mysql_native_password"

// ratingsTable is what upstream's image of MySQL starts with.
var ratingsTable = []string{
	"CREATE TABLE ratings (ReviewID INT NOT NULL PRIMARY KEY, Rating INT)",
	"INSERT INTO ratings VALUES (1, 5), (2, 4)",
}

// runMySQL is a MySQL server with the stars of the book. As of the official
// image, root's password is in MYSQL_ROOT_PASSWORD.
func runMySQL(ctx context.Context, p process) error {
	flags := pflag.NewFlagSet("mysqldb", pflag.ContinueOnError)
	flags.SetOutput(p.stderr)
	plugin := flags.String("default-authentication-plugin", nativePassword, "how users prove who they are")
	port := flags.String("port", "3306", "where it listens")
	if err := flags.Parse(p.args); err != nil {
		return err
	}
	if *plugin != nativePassword {
		return fmt.Errorf("--default-authentication-plugin=%s: there is only %s", *plugin, nativePassword)
	}
	password := p.env("MYSQL_ROOT_PASSWORD")
	if password == "" {
		return errors.New("no password for root: set MYSQL_ROOT_PASSWORD")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", *port))
	if err != nil {
		return err
	}
	return serveMySQL(ctx, listener, password, p.stdout)
}

// serveMySQL answers until the context ends.
func serveMySQL(ctx context.Context, listener net.Listener, password string, log io.Writer) error {
	// The library tells of each connection and each mistake of a client.
	logrus.SetLevel(logrus.FatalLevel)
	database := memory.NewDatabase(databaseName)
	database.EnablePrimaryKeyIndexes()
	provider := memory.NewDBProvider(database)
	engine := sqle.NewDefault(provider)
	session := sql.NewContext(context.WithoutCancel(ctx), sql.WithSession(memory.NewSession(sql.NewBaseSession(), provider)))
	session.SetCurrentDatabase(databaseName)
	for _, statement := range ratingsTable {
		_, rows, _, err := engine.Query(session, statement)
		if err == nil {
			_, err = sql.RowIterToRows(session, rows)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	users := engine.Analyzer.Catalog.MySQLDb
	editor := users.Editor()
	users.AddSuperUser(editor, "root", "%", password)
	editor.Close()

	s, err := server.NewServer(server.Config{Listener: listener, Version: "8.0.33"}, engine, sql.NewContext, memory.NewSessionBuilder(provider), nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "mysqldb answers on %s\n", listener.Addr())
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	return s.Start()
}
